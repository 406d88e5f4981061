"""Error curves of verification from exact counts: false accept rate (FAR) against true accept rate (TAR).

A pair is accepted when its score is at least the threshold. Of billions of impostor scores only the highest are kept
one by one; of the others a histogram is kept. Its bins are cut by one monotone function, so each bin's border is a
threshold with exact counts on both sides, and the whole curve consists of exact points.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# Bins of cosines in float32: 4096 a unit, which in float32 takes exact steps. 4150 keeps -1 - rounding positive.
BINS = 8300
_SCALE = np.float32(4096)
_OFFSET = np.float32(4150)


def bins_of(scores, work=None, out=None):
    """Histogram bins of cosines: a monotone function to 0 … BINS - 1, which also orders the rounded sums below."""
    work = np.multiply(scores, _SCALE, out=work)
    np.add(work, _OFFSET, out=work)
    if out is None:
        return work.astype(np.int64)
    np.copyto(out, work, casting="unsafe")
    return out


def allowed_accepts(far, total):
    """How many of `total` impostors may pass at most, without the rounding of a product: 3530 for 1e-6 of 3.53e9."""
    return int(Fraction(str(far)) * total)


class ImpostorTail:
    """Counts of impostor scores: a histogram of all, and one by one those in its upper bins.

    The bin from which single scores are kept rises as scores come in, so that at least `wanted` of the highest
    scores are always among the kept ones.
    """

    def __init__(self, wanted):
        self.wanted = wanted
        self.start = 0
        self.histogram = np.zeros(BINS, np.int64)
        self._kept = []

    def add(self, scores):
        """Count single scores, any shape."""
        scores = np.ravel(scores)
        bins = bins_of(scores)
        self.histogram += np.bincount(bins, minlength=BINS)
        upper = scores[bins >= self.start]
        if upper.size:
            self._kept.append(upper)

    def raise_start(self, others=0):
        """Move the border up as far as the counts allow; `others` is a histogram of scores counted elsewhere."""
        above = np.cumsum((self.histogram + others)[::-1])[::-1]
        start = int(np.searchsorted(-above, -self.wanted, side="right")) - 1
        if start > self.start:
            self.start = start
            kept = np.concatenate(self._kept) if self._kept else np.empty(0, np.float32)
            self._kept = [kept[bins_of(kept) >= start]]

    def kept(self):
        """The kept scores, ascending float32."""
        return np.sort(np.concatenate(self._kept)) if self._kept else np.empty(0, np.float32)


class VerificationCurve:
    """TAR against FAR. `genuine` and `impostors` are ascending float32 scores.

    Args:
        genuine: every genuine score.
        impostors: the highest impostor scores one by one.
        total: the number of all impostor pairs, also those never scored (surely rejected).
        histogram: BINS counts of the scored impostors, or None where `impostors` has all of them.
    """

    def __init__(self, genuine, impostors, total, histogram=None):
        self.genuine = genuine
        self.impostors = impostors
        self.total = int(total)
        self._coarse = None
        if histogram is not None and histogram.sum() > len(impostors):
            accepted = np.cumsum(histogram[::-1])[::-1]
            true = np.cumsum(np.bincount(bins_of(genuine), minlength=BINS)[::-1])[::-1]
            self._coarse = accepted, true

    def at(self, far):
        """The most lenient threshold with a FAR of at most `far`.

        Returns:
            (actual FAR, TAR, error): error is 0 where the highest impostor scores decide; else the threshold is a
            border between bins and the best possible TAR at this `far` lies in [TAR, TAR + error].

        Raises:
            ValueError: there is no genuine or no impostor pair.
        """
        pairs = len(self.genuine)
        if not pairs or not self.total:
            raise ValueError("a rate needs at least one genuine and one impostor pair")
        allowed = allowed_accepts(far, self.total)
        if allowed >= self.total:
            return 1.0, 1.0, 0.0
        if allowed < len(self.impostors):
            refused = self.impostors[len(self.impostors) - allowed - 1]
            accepted = len(self.impostors) - np.searchsorted(self.impostors, refused, side="right")
            true = pairs - np.searchsorted(self.genuine, refused, side="right")
            return float(accepted / self.total), float(true / pairs), 0.0
        if self._coarse is None:
            return len(self.impostors) / self.total, 1.0, 0.0
        accepted, true = self._coarse
        border = int(np.searchsorted(-accepted, -allowed))
        below = true[border - 1] if border else pairs
        return accepted[border] / self.total, true[border] / pairs, float((below - true[border]) / pairs)

    def points(self, per_decade=20):
        """Exact points of the curve, `per_decade` of them for each power of ten of the FAR from 1/pairs to 1.

        Returns:
            (FAR, TAR): ascending lists without repeats.
        """
        decades = int(np.ceil(np.log10(max(self.total, 1))))
        grid = [f"{far:.3e}" for far in np.logspace(-decades, 0, decades * per_decade + 1)]
        points = sorted({self.at(far)[:2] for far in grid})
        return [float(far) for far, _ in points], [float(tar) for _, tar in points]


def nearest_tar(genuine, impostors, total, fars):
    """TAR at the curve's point whose FAR is nearest to each of `fars`: the rule of the published IJB numbers.

    They were read from scikit-learn's ROC curve, reversed, which leaves out points in the middle of straight lines; so
    does this. Where impostor scores are few (FAR 1e-6 of 15 million) the rule can pick a FAR above the one asked for,
    unlike `VerificationCurve.at`.

    Args:
        genuine: every genuine score, ascending. impostors: the highest impostor scores, ascending; of `total`.

    Returns:
        a list of TARs, with None where more impostor scores are needed to tell.
    """
    complete = len(impostors) == total
    known = genuine if complete else genuine[np.searchsorted(genuine, impostors[0]) :]
    thresholds = np.unique(np.concatenate([impostors, known]))[::-1]
    false = len(impostors) - np.searchsorted(impostors, thresholds)
    true = len(genuine) - np.searchsorted(genuine, thresholds)
    if len(false) > 2:
        corner = np.r_[True, (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), True]
        false, true = false[corner], true[corner]
    far = np.r_[0, false][::-1] / total
    tar = np.r_[0, true][::-1] / len(genuine)
    rates = []
    for value in fars:
        distance = np.abs(far - value)
        nearest = int(np.argmin(distance))
        # The lowest known score may be no corner, and all points beyond it are at least as far away.
        certain = complete or far[0] - value > distance[nearest]
        rates.append(float(tar[nearest]) if certain else None)
    return rates
