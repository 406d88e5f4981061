"""Images of another size than the network takes: told once for a set, since they may not be aligned at all."""

from __future__ import annotations

import os
from collections import Counter


def size_line(
    source: str | os.PathLike[str], sizes: Counter, expected: tuple[int, int], total: int | None = None
) -> str | None:
    """One line on images that will be scaled; None where all have the expected size.

    Args:
        source: what the images are, for the message.
        sizes: how many images, of all or of a sample, have each (height, width).
        expected: (height, width) that they are scaled to.
        total: how many images there are, where only a sample was looked at.
    """
    looked_at = sum(sizes.values())
    other = looked_at - sizes[tuple(expected)]
    if not other:
        return None
    named = [_text(size) for size, _ in sizes.most_common() if size != tuple(expected)]
    kinds = ", ".join(named[:3]) + (f" and {len(named) - 3} other sizes" if len(named) > 3 else "")
    of = (
        f"{looked_at:,} images"
        if looked_at == (total or looked_at)
        else f"a sample of {looked_at:,} images ({total:,})"
    )
    return (
        f"{source}: {other:,} of {of} are {kinds}, not {_text(expected)} pixels, and are scaled; faces must "
        "be aligned by their five points to that size (`arcface-gluon align`), or accuracy is far too low"
    )


def _text(size):
    return f"{size[0]}x{size[1]}"
