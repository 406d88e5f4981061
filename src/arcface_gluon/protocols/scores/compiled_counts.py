"""`host_counts` compiled by numba where that is installed: each row is read once, a part of it in the cache at a time.

The counts are the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

# Scores of a row compared with all thresholds before the next ones: 8 KiB, a fraction of any core's first cache.
_PART = 2048
# Scores of which is asked at once whether any reaches the floor.
_ASKED = 128


def count_reached(
    scores: np.ndarray,
    floors: np.ndarray,
    shared: np.ndarray,
    own: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `host_counts.count_reached`."""
    compiled = _compiled()
    reached, sizes, parts = np.zeros(len(shared), np.int64), np.zeros(len(scores), np.int64), []
    room, done = np.empty(max(scores.size // 16, scores.shape[1]), np.float32), 0
    while done < len(scores):
        begin = done
        done = compiled(scores, begin, floors, shared, own, first, last, counts, reached, room, sizes)
        parts.append(room[: sizes[begin:done].sum()].copy())
    return reached, sizes, np.concatenate(parts)


@lru_cache(maxsize=None)
def _compiled() -> Any:
    """The function, compiled at its first call; numba keeps it on disk for later processes."""
    import numba

    compile_function = numba.njit(nogil=True, cache=True)
    # Sums of this type stay so: vectors of eight; int64's would be of four.
    short = np.int32

    @compile_function
    def count(row, limits, counts):
        whole = limits.size - limits.size % 4
        for k in range(0, whole, 4):
            a, b, c, d = limits[k], limits[k + 1], limits[k + 2], limits[k + 3]
            at_a = at_b = at_c = at_d = short(0)
            for j in range(row.size):
                score = row[j]
                at_a = short(at_a + short(score >= a))
                at_b = short(at_b + short(score >= b))
                at_c = short(at_c + short(score >= c))
                at_d = short(at_d + short(score >= d))
            counts[k] += at_a
            counts[k + 1] += at_b
            counts[k + 2] += at_c
            counts[k + 3] += at_d
        for k in range(whole, limits.size):
            a, at_a = limits[k], short(0)
            for j in range(row.size):
                at_a = short(at_a + short(row[j] >= a))
            counts[k] += at_a

    @compile_function
    def gather(row, floor, room, used):
        for start in range(0, row.size, _ASKED):
            part, any_reaches = row[start : start + _ASKED], short(0)
            for j in range(part.size):
                any_reaches = short(any_reaches + short(part[j] >= floor))
            if any_reaches:
                for j in range(part.size):
                    if part[j] >= floor:
                        room[used] = part[j]
                        used += 1
        return used

    @compile_function
    def count_rows(scores, begin, floors, shared, own, first, last, counts, reached, room, sizes):
        """Rows from `begin` on, while there is room for all scores of one; gives the row to go on with."""
        used = 0
        for i in range(begin, scores.shape[0]):
            if used + scores.shape[1] > room.size:
                return i
            before, limits, own_counts = used, own[first[i] : last[i]], counts[first[i] : last[i]]
            for start in range(0, scores.shape[1], _PART):
                part = scores[i, start : start + _PART]
                count(part, shared, reached)
                count(part, limits, own_counts)
                used = gather(part, floors[i], room, used)
            sizes[i] = used - before
        return scores.shape[0]

    return count_rows
