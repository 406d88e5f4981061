"""IJB-B and IJB-C, 1:1: pooling of images into templates, scores of template pairs, TAR at FAR.

Pooling: the features of the images of one medium (a video) are averaged, the media of a template are summed, and the
sum is scaled to length 1. Scores are cosines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Sequence

import numpy as np

from .. import runtime
from ..errors import UserError
from ..parallel.threads import in_parts
from .ijb_templates import Templates
from .scores import compiled_pairs, host_pairs, passes
from .scores.curves import VerificationCurve, nearest_tar
from .scores.pairs import PairColumn, column_scores

_reaching = (compiled_pairs if find_spec("numba") is not None else host_pairs).reaching

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Share of the impostor scores that is sorted; FARS need somewhat more than the largest of them.
_SORTED_SHARE = 0.125
# FARs of the curve's points above that share.
_CURVE_FARS = (0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass
class TemplateVerification:
    """Result of `verify`.

    tar_nearest: TAR at the point of nearest FAR, the rule of the published numbers. tar_at_most: TAR of the most
    lenient threshold whose FAR does not exceed the one asked for. Both in the order of `fars`.
    skipped: for `skip_missing`, (first, second) template numbers of pairs left out.
    """

    genuine_pairs: int
    impostor_pairs: int
    tar_nearest: list
    tar_at_most: list
    curve: VerificationCurve
    fars: tuple = FARS
    skipped: list = field(default_factory=list)

    def to_json(self) -> dict:
        names = [f"{far:.0e}" for far in self.fars]
        return {
            "genuine_pairs": self.genuine_pairs,
            "impostor_pairs": self.impostor_pairs,
            "tar_nearest_far": dict(zip(names, self.tar_nearest)),
            "tar_far_at_most": dict(zip(names, self.tar_at_most)),
            "roc": list(self.curve.points()),
            "skipped_pairs": len(self.skipped),
        }


def verify(
    templates: Templates,
    first: np.ndarray,
    second: np.ndarray,
    same: np.ndarray,
    skip_missing: bool = False,
    contexts: runtime.Devices = None,
) -> TemplateVerification:
    """1:1 verification over a list of template pairs.

    Args:
        first, second: (p,) template numbers. same: (p,) bool, whether the subject is the same.
        skip_missing: leave out pairs with a template that has no image, and list them in the result.

    Raises:
        UserError: a pair names a template without images, or all pairs are of one kind.
    """
    first, second, same = np.asarray(first), np.asarray(second), np.asarray(same, bool)
    rows, columns = PairColumn(templates.ids, first), PairColumn(templates.ids, second)
    skipped = []
    if not (rows.complete and columns.complete):
        unknown = rows.each() < 0
        empty = unknown | (columns.each() < 0)
        i = int(np.argmax(empty))
        if not skip_missing:
            template = (first if unknown[i] else second)[i]
            raise UserError(f"pair {i + 1} names template {template}, which has no image; check the media list")
        skipped, same = np.stack([first, second], 1)[empty].tolist(), same[~empty]
        rows, columns = PairColumn(templates.ids, first[~empty]), PairColumn(templates.ids, second[~empty])
    return verify_scores(column_scores(templates.vectors, rows, columns, contexts), same, skipped=skipped)


def verify_scores(
    scores: np.ndarray, same: np.ndarray, fars: Sequence[float] = FARS, skipped: Sequence[list[int]] = ()
) -> TemplateVerification:
    """TAR at `fars` from scores (p,) float32 in any order, of which those where `same` (p,) bool are genuine.

    Raises:
        UserError: there is no genuine or no impostor score.
    """
    places = np.flatnonzero(same)
    genuine, total = np.sort(scores[places]), len(scores) - len(places)
    if not len(genuine) or not total:
        raise UserError(f"{len(genuine)} genuine and {total} impostor pairs; both kinds are needed")
    sample = scores[_impostors(places, np.arange(0, total, max(1, total >> 16)))]
    wanted = int(total * _SORTED_SHARE) + 1
    # Where the curve gets its points above the sorted share needs no exactness, but how many scores reach them.
    thresholds = np.quantile(sample, [1 - far for far in _CURVE_FARS]).astype(np.float32)
    # A little more than the share that is wanted: what is surely below it need not be sorted.
    floor = np.quantile(sample, 1 - 1.1 * _SORTED_SHARE)
    upper, reached = _sorted_impostors(scores, same, floor, thresholds)
    if len(upper) < wanted:
        upper, reached = _sorted_impostors(scores, same, -np.inf, thresholds)
    upper = upper[np.searchsorted(upper, upper[-wanted]) :]
    nearest = nearest_tar(genuine, upper, total, fars)
    if None in nearest:
        upper, reached = _sorted_impostors(scores, same, -np.inf, thresholds)
        nearest = nearest_tar(genuine, upper, total, fars)
    counted = None
    if len(upper) < total:
        counted = thresholds, reached - (len(genuine) - np.searchsorted(genuine, thresholds))
    curve = VerificationCurve(genuine, upper, total, counted)
    at_most = [curve.at(far)[1] for far in fars]
    return TemplateVerification(len(genuine), total, nearest, at_most, curve, tuple(fars), list(skipped))


def _impostors(genuine, numbers):
    """Places in the list of the impostor pairs of these numbers (0: the first), by those of all genuine pairs."""
    return numbers + np.searchsorted(genuine - np.arange(len(genuine)), numbers, side="right")


def _sorted_impostors(scores, same, floor, thresholds):
    """All impostor scores of at least `floor`, ascending; how many scores, also genuine, reach each threshold."""
    parts = []

    def look(first, last):
        found, reached = _reaching(scores[first:last], same[first:last], np.float32(floor), thresholds)
        found.sort()
        parts.append((found, reached))

    in_parts(look, len(scores), passes.WORTH_A_THREAD)
    return passes.merged([found for found, _ in parts]), np.sum([reached for _, reached in parts], axis=0)
