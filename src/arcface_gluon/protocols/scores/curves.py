"""Error curves of verification from exact counts: false accept rate (FAR) against true accept rate (TAR).

A pair is accepted when its score is at least the threshold. Of billions of impostor scores only the highest are kept
one by one; of the others it is counted how many reach each of a few thresholds. Every point of a curve is exact.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Sequence

import numpy as np

# Impostor scores on either side of a rate among which the curve's nearest corners are sought at first.
_WINDOW = 1 << 10


def allowed_accepts(far: float | str, total: int) -> int:
    """How many of `total` impostors may pass at most, without the rounding of a product: 3530 for 1e-6 of 3.53e9."""
    return int(Fraction(str(far)) * total)


class HighestScores:
    """The highest of a stream of float32 scores.

    `floor` rises as scores come in: all scores of at least `floor` are kept, and these are at least the `wanted`
    highest (or all there are).
    """

    def __init__(self, wanted: int):
        self.wanted = wanted
        self.floor = np.float32(-np.inf)
        self._parts = []
        self._count = 0

    def add(self, scores: np.ndarray) -> None:
        """Take in scores (1-d); those below the floor may have been left out."""
        scores = scores[scores >= self.floor] if self.floor > -np.inf else scores.copy()
        if scores.size:
            self._parts.append(scores)
            self._count += scores.size
            if self._count > 4 * self.wanted:
                self.raise_floor()

    def raise_floor(self) -> np.ndarray:
        """Let go of what is certainly not among the highest."""
        scores = np.concatenate([np.empty(0, np.float32), *self._parts])
        if len(scores) > self.wanted:
            place = len(scores) - self.wanted
            self.floor = np.partition(scores, place)[place]
            scores = scores[scores >= self.floor]
        self._parts, self._count = [scores], len(scores)
        return scores

    def kept(self) -> np.ndarray:
        """All scores of at least `floor`, ascending."""
        return np.sort(self.raise_floor())


class VerificationCurve:
    """TAR against FAR.

    Args:
        genuine: every genuine score, ascending.
        impostors: the highest impostor scores one by one, ascending.
        total: the number of all impostor pairs, also those never scored (surely rejected).
        counted: None if `impostors` has all that were scored; else (thresholds, counts): how many impostors reach
            thresholds below those.
    """

    def __init__(
        self,
        genuine: np.ndarray,
        impostors: np.ndarray,
        total: int,
        counted: tuple[np.ndarray, Sequence[int] | np.ndarray] | None = None,
    ):
        self.genuine = genuine
        self.impostors = impostors
        self.total = int(total)
        thresholds, counts = counted if counted is not None else ((), ())
        # From the most lenient threshold, which accepts all that was scored, to the one that accepts the kept scores.
        points = sorted(zip(np.asarray(thresholds).tolist(), np.asarray(counts).tolist()))
        self._coarse = [(t, int(n)) for t, n in points if len(impostors) and t < impostors[0]]
        self._complete = counted is None

    def at(self, far: float | str) -> tuple[float, float, float]:
        """The most lenient threshold with a FAR of at most `far`.

        Returns:
            (actual FAR, TAR, error): error is 0 where the highest impostor scores decide; else the threshold is one
            of a few, and the best possible TAR at this `far` lies in [TAR, TAR + error].

        Raises:
            ValueError: there is no genuine or no impostor pair.
        """
        if not len(self.genuine) or not self.total:
            raise ValueError("a rate needs at least one genuine and one impostor pair")
        allowed = allowed_accepts(far, self.total)
        if allowed >= self.total:
            return 1.0, 1.0, 0.0
        kept = len(self.impostors)
        if allowed < kept:
            refused = self.impostors[kept - allowed - 1]
            accepted = kept - np.searchsorted(self.impostors, refused, side="right")
            return float(accepted / self.total), self._tar(refused, side="right"), 0.0
        if self._complete:
            return kept / self.total, 1.0, 0.0
        best, lower = (self.impostors[0], kept), None
        for threshold, count in reversed(self._coarse):
            if count > allowed:
                lower = threshold
                break
            best = threshold, count
        tar = self._tar(best[0])
        return best[1] / self.total, tar, (1.0 if lower is None else self._tar(lower)) - tar

    def _tar(self, threshold, side="left"):
        accepted = len(self.genuine) - np.searchsorted(self.genuine, threshold, side=side)
        return float(accepted / len(self.genuine))

    def points(self, per_decade: int = 20) -> tuple[list[float], list[float]]:
        """Exact points of the curve, up to `per_decade` for each power of ten of the FAR from 1/pairs to 1.

        Returns:
            (FAR, TAR): ascending lists without repeats.
        """
        decades = int(np.ceil(np.log10(max(self.total, 1))))
        grid = [f"{far:.3e}" for far in np.logspace(-decades, 0, decades * per_decade + 1)]
        points = sorted({self.at(far)[:2] for far in grid})
        return [float(far) for far, _ in points], [float(tar) for _, tar in points]


def nearest_tar(genuine: np.ndarray, impostors: np.ndarray, total: int, fars: Sequence[float]) -> list[float | None]:
    """TAR at the curve's point whose FAR is nearest to each of `fars`: the rule of the published IJB numbers.

    They were read from scikit-learn's ROC curve, reversed, which leaves out points in the middle of straight lines; so
    does this. Where impostor scores are few (FAR 1e-6 of 15 million) the rule can pick a FAR above the one asked for,
    unlike `VerificationCurve.at`.

    Args:
        genuine: every genuine score, ascending. impostors: the highest impostor scores, ascending; of `total`.

    Returns:
        a list of TARs, with None where more impostor scores are needed to tell.
    """
    # The lowest known score may be no corner; then all points beyond it must be at least as far away.
    complete, lowest = len(impostors) == total, len(impostors) / total
    known = genuine if complete else genuine[np.searchsorted(genuine, impostors[0]) :]
    rates: list[float | None] = []
    for value in fars:
        far, tar = _corners(known, impostors, total, value)
        distance = np.abs(far - value)
        nearest = int(np.argmin(distance))
        certain = complete or lowest - value > distance[nearest]
        rates.append(float(tar[nearest] / len(genuine)) if certain else None)
    return rates


def _corners(genuine, impostors, total, value):
    """Corners of the curve around a FAR of `value`: (FARs, accepted genuine scores), from the lowest threshold up.

    A window of the sorted scores is widened until there is a corner on either side of `value`, or no more score.
    """
    count, width = len(impostors), _WINDOW
    while True:
        rank = count - min(int(value * total), count)
        # All scores from one threshold to another, ties included.
        first = np.searchsorted(impostors, impostors[rank - width]) if rank > width else 0
        last = np.searchsorted(impostors, impostors[rank + width], side="right") if rank + width < count else count
        low = np.searchsorted(genuine, impostors[first]) if first else 0
        high = np.searchsorted(genuine, impostors[last - 1], side="right") if last < count else len(genuine)
        thresholds = np.unique(np.concatenate([impostors[first:last], genuine[low:high]]))[::-1]
        false = count - first - np.searchsorted(impostors[first:last], thresholds)
        true = len(genuine) - low - np.searchsorted(genuine[low:high], thresholds)
        false, true = np.r_[count - last, false], np.r_[len(genuine) - high, true]
        corner = np.r_[last == count, (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), first == 0]
        if last == count:
            corner[1] = True  # the highest threshold, as the point (0, 0) beyond it
        above = false[corner] >= value * total
        if (first == 0 or above.any()) and (last == count or not above.all()):
            return false[corner][::-1] / total, true[corner][::-1]
        width *= 8
