"""Whether a verification set can be evaluated: asked when it is opened, so that no training finds out hours later."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Sequence

from ...errors import UserError
from ...progress import progress
from ...runtime import physical_cores
from ..images.decode import decode_image
from ..images.sizes import size_line
from .pair_lists import FOLDS

if TYPE_CHECKING:
    import numpy as np


def check_pairs(
    path: str | os.PathLike[str],
    images: Sequence[bytes],
    issame: Sequence[bool] | np.ndarray,
    size: tuple[int, int] = (112, 112),
) -> list[str]:
    """Decode every distinct image of a verification set once, and count its pairs.

    Args:
        path: the .bin file, for messages.
        images, issame: as `read_bin` gives them.
        size: (height, width) that the network takes.

    Returns:
        Warnings, one line each: images of another size, pairs of one kind only.

    Raises:
        UserError: an image cannot be decoded (the first is named), or the pairs are too few for ten folds.
    """
    if len(issame) < FOLDS:
        raise UserError(f"{path}: {len(issame)} pairs are too few for {FOLDS}-fold verification: give at least {FOLDS}")
    first = {}
    for index, image in enumerate(images):
        first.setdefault(image, index)
    sizes, damaged = Counter(), []
    with ThreadPoolExecutor(physical_cores(), thread_name_prefix="check") as pool:
        shapes = pool.map(_size_or_reason, first)
        bar = progress(zip(first.values(), shapes), len(first), "checking", unit=" images", delay=1)
        for index, (shape, reason) in bar:
            if reason:
                damaged.append((index, reason))
            else:
                sizes[shape] += 1
    if damaged:
        index, reason = damaged[0]
        raise UserError(
            f"{path}: {len(damaged):,} of {len(first):,} images cannot be decoded, the first is image "
            f"{index % 2 + 1} of pair {index // 2} ({reason}); fetch the set again, or replace it"
        )
    lines = [size_line(path, sizes, size)]
    if all(issame) or not any(issame):
        kind = "one person" if issame[0] else "two people"
        lines.append(
            f"{path}: all {len(issame):,} pairs are of {kind}; accuracy and thresholds need pairs of both kinds"
        )
    return [line for line in lines if line]


def _size_or_reason(image):
    try:
        return decode_image(image).shape[:2], None
    except ValueError as error:
        return None, str(error)
