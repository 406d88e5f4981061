"""`host_counts` compiled by numba where that is installed: each row is read once, a part of it in the cache at a time.

The counts are the same. A row with many thresholds of its own (a mislabelled probe's mates) is not compared with each:
the range of the thresholds is cut into bins of one width, and a table tells for each bin how many thresholds are below.
Rounding keeps the order, so that only scores in a bin that has a threshold need a comparison.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace

import numpy as np

# Scores of a row compared with all thresholds before the next ones: 8 KiB, a fraction of any core's first cache.
_PART = 2048
# Scores of which is asked at once whether any reaches the floor.
_ASKED = 128
# Thresholds of a row from which on bins are faster than comparisons; how many share a table; bins: 16 KiB of them.
_MANY, _TOGETHER, _BINS = 28, 1024, 8192


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
    compiled = _compiled().count_rows
    reached, sizes, parts = np.zeros(len(shared), np.int64), np.zeros(len(scores), np.int64), []
    room, done = np.empty(max(scores.size // 16, scores.shape[1]), np.float32), 0
    while done < len(scores):
        begin = done
        done = compiled(scores, begin, floors, shared, own, first, last, counts, reached, room, sizes)
        parts.append(room[: sizes[begin:done].sum()].copy())
    return reached, sizes, np.concatenate(parts)


class Places:
    """See `host_counts.Places`."""

    def __init__(self, thresholds: np.ndarray, offsets: np.ndarray):
        self._thresholds, self._offsets = thresholds, offsets

    def count(
        self,
        start: int,
        sizes: np.ndarray,
        scores: np.ndarray,
        lowest: np.ndarray,
        counts: np.ndarray,
        ties: np.ndarray,
    ) -> None:
        _compiled().place_rows(start, sizes, scores, lowest, self._thresholds, self._offsets, counts, ties)


@lru_cache(maxsize=None)
def _compiled() -> SimpleNamespace:
    """The functions, compiled at their first call; numba keeps them on disk for later processes."""
    import numba

    compile_function = numba.njit(nogil=True, cache=True)
    # Sums of this type stay so: vectors of eight; int64's would be of four.
    short = np.int32
    # Unsigned places spare the look whether they count from the end.
    place, one = np.uintp, np.uint16(1)
    zero, top = np.float32(0), np.float32(_BINS - 1)

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
    def bin_of(score, low, scale):
        # The lowest and the highest bin are for scores beyond the thresholds; not-a-number goes to the lowest.
        x = (score - low) * scale + np.float32(1)
        x = x if x > zero else zero
        x = x if x < top else top
        return np.uint16(short(x))

    @compile_function
    def fill(codes, limits, low, scale):
        """Of each bin twice the number of limits in lower bins, and 1 more where one is in the bin."""
        end = k = 0
        while k < limits.size:
            here = np.int64(bin_of(limits[k], low, scale))
            codes[end:here] = np.uint16(2 * k)
            codes[here] = np.uint16(2 * k + 1)
            end, k = here + 1, k + 1
            while k < limits.size and bin_of(limits[k], low, scale) == here:
                k += 1
        codes[end:] = np.uint16(2 * k)

    @compile_function
    def count_by_bins(row, limits, counts, codes, bins, unsure, ranks):
        low, width = limits[0], limits[-1] - limits[0]
        scale = np.float32(_BINS - 3) / max(width, np.float32(1e-6))
        fill(codes, limits, low, scale)
        ranks[: 2 * limits.size + 1] = 0
        for start in range(0, row.size, _PART):
            part, found = row[start : start + _PART], place(0)
            for j in range(part.size):
                bins[j] = bin_of(part[j], low, scale)
            whole = part.size - part.size % 4
            for j in range(0, whole, 4):
                a, b, c, d = place(j), place(j + 1), place(j + 2), place(j + 3)
                at_a, at_b, at_c, at_d = codes[bins[a]], codes[bins[b]], codes[bins[c]], codes[bins[d]]
                ranks[at_a] += short(1)
                ranks[at_b] += short(1)
                ranks[at_c] += short(1)
                ranks[at_d] += short(1)
                if (at_a | at_b | at_c | at_d) & one:
                    unsure[found] = part[a]
                    found += place(at_a & one)
                    unsure[found] = part[b]
                    found += place(at_b & one)
                    unsure[found] = part[c]
                    found += place(at_c & one)
                    unsure[found] = part[d]
                    found += place(at_d & one)
            for j in range(whole, part.size):
                at = codes[bins[place(j)]]
                ranks[at] += short(1)
                unsure[found] = part[j]
                found += place(at & one)
            for j in range(found):
                score = unsure[j]
                k = np.int64(codes[bin_of(score, low, scale)] >> one)
                k += np.int64(limits[k] <= score)
                while k < limits.size and limits[k] <= score:
                    k += 1
                ranks[2 * k] += short(1)
        reached = np.int64(0)
        for k in range(limits.size, 0, -1):
            reached += ranks[2 * k]
            counts[k - 1] += reached

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
        codes, bins = np.empty(_BINS, np.uint16), np.empty(_PART, np.uint16)
        unsure, ranks = np.empty(_PART + 1, np.float32), np.empty(2 * _TOGETHER + 1, np.int32)
        for i in range(begin, scores.shape[0]):
            if used + scores.shape[1] > room.size:
                return i
            before, limits, own_counts = used, own[first[i] : last[i]], counts[first[i] : last[i]]
            few = limits.size < _MANY
            for start in range(0, scores.shape[1], _PART):
                part = scores[i, start : start + _PART]
                count(part, shared, reached)
                if few:
                    count(part, limits, own_counts)
                used = gather(part, floors[i], room, used)
            if not few:
                for k in range(0, limits.size, _TOGETHER):
                    some = slice(k, k + _TOGETHER)
                    count_by_bins(scores[i], limits[some], own_counts[some], codes, bins, unsure, ranks)
            sizes[i] = used - before
        return scores.shape[0]

    @compile_function
    def place_rows(start, sizes, scores, lowest, thresholds, offsets, counts, ties):
        done = 0
        for i in range(start, start + sizes.size):
            begin = offsets[i]
            limits = thresholds[begin : offsets[i + 1]]
            for j in range(done, done + sizes[i - start]):
                if scores[j] >= lowest[i]:
                    k = np.searchsorted(limits, scores[j])
                    counts[begin + i + k] += 1
                    if k < limits.size and limits[k] == scores[j]:
                        ties[begin + k] += 1
            done += sizes[i - start]

    return SimpleNamespace(count_rows=count_rows, place_rows=place_rows)
