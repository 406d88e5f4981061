"""Division of identities over devices."""

from __future__ import annotations


def shard_ranges(num_classes: int, shards: int) -> list[tuple[int, int]]:
    """Split identities 0 … num_classes-1 into contiguous, near-equal ranges (start, stop), the longer ones first.

    No range is padded: padding classes would enter the softmax sum (the reference code's did).

    Raises:
        ValueError: fewer identities than shards, or no shard at all.
    """
    if shards < 1:
        raise ValueError(f"shards must be at least 1, not {shards}")
    if num_classes < shards:
        raise ValueError(
            f"{num_classes} identities cannot be split over {shards} shards; use at most {num_classes} contexts"
        )
    size, extra = divmod(num_classes, shards)
    starts = [i * size + min(i, extra) for i in range(shards + 1)]
    return list(zip(starts, starts[1:]))
