"""IJB-B and IJB-C, 1:1: pooling of images into templates, scores of template pairs, TAR at FAR.

Pooling: the features of the images of one medium (a video) are averaged, the media of a template are summed, and the
sum is scaled to length 1. Scores are cosines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

import numpy as np

from .. import runtime
from ..errors import UserError
from ..progress import progress
from .ijb_templates import Templates
from .scores.blocks import COLUMN_BLOCK, block_edges, score_blocks
from .scores.copies import first_copies
from .scores.curves import HighestScores, VerificationCurve, nearest_tar
from .scores.passes import for_parts, is_ascending

# Rows in a block of products.
_PAIR_ROWS = 512
FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Share of the impostor scores that is sorted; FARS need somewhat more than the largest of them.
_SORTED_SHARE = 0.125
# FARs of the curve's points above that share.
_CURVE_FARS = (0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def pair_scores(
    vectors: np.ndarray, first: np.ndarray, second: np.ndarray, contexts: runtime.Devices = None
) -> np.ndarray:
    """Cosines of many pairs: products of blocks on all devices, of which the pairs' values are gathered.

    Rows and columns that occur in no pair are left out of the products. A pair of copies of two vectors has the score
    of these, in either order.

    Args:
        vectors: (t, d) float32 of length 1. first, second: (p,) positions in it.

    Returns:
        (p,) float32.
    """
    first, second = _without_copies(vectors, np.asarray(first), np.asarray(second))
    used_rows, row_places = _places(first, len(vectors))
    used_columns, column_places = _places(second, len(vectors))
    left, right = vectors[used_rows], vectors[used_columns]
    # Pairs in the order in which their blocks come; lists are usually sorted by the first template already.
    key, order = row_places[first] if len(right) > COLUMN_BLOCK else first, None
    if len(right) > COLUMN_BLOCK:
        key = key + column_places[second] // COLUMN_BLOCK * len(left)
    if not is_ascending(key):
        order = np.argsort(key, kind="stable")
        first, second, key = first[order], second[order], key[order]
    scores = np.empty(len(first), np.float32)
    edges = block_edges(len(right), COLUMN_BLOCK)
    blocks = score_blocks(left, lambda a, b: right[a:b], edges, runtime.contexts(contexts), _PAIR_ROWS)
    with progress(total=len(scores), unit="pair", unit_scale=True, desc="scores") as bar:
        for row_start, column_start, block in blocks:
            if len(right) > COLUMN_BLOCK:
                borders = row_start + column_start // COLUMN_BLOCK * len(left) + np.array([0, len(block)])
            else:
                borders = used_rows[row_start], used_rows[row_start + len(block) - 1] + 1
            begin, end = np.searchsorted(key, np.array(borders, key.dtype))
            starts = (row_places - row_start) * block.shape[1] - column_start
            _gather(block.ravel(), starts, column_places, first[begin:end], second[begin:end], scores[begin:end])
            bar.update(end - begin)
    if order is not None:
        scores[order] = scores.copy()
    return scores


def _without_copies(vectors, first, second):
    """The pairs, with the first copy of a vector for all its copies, and pairs that have such one way round."""
    same = first_copies(vectors)
    copied = np.bincount(same, minlength=len(same)) > 1
    if not copied.any():
        return first, second
    first, second = same[first], same[second]
    turned = (copied[first] | copied[second]) & (first > second)
    return np.where(turned, second, first), np.where(turned, first, second)


def _gather(block, starts, places, first, second, out):
    """out[i] = block[starts[first[i]] + places[second[i]]], a few at a time, so that the indices stay in the cache."""

    def work(here):
        # All indices are in range by construction; "clip" only spares NumPy a buffered copy of the result.
        row, column = (np.take(table, index[here], mode="clip") for table, index in ((starts, first), (places, second)))
        np.add(row, column, out=row)
        np.take(block, row, out=out[here], mode="clip")

    for_parts(work, len(out))


def _places(positions, count):
    """The distinct positions, ascending, and a table of each position's place among them."""
    used = np.zeros(count, bool)
    for_parts(lambda here: used.__setitem__(positions[here], True), len(positions))
    return np.flatnonzero(used), np.cumsum(used) - 1


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
    rows, columns = templates.rows(first), templates.rows(second)
    skipped = []
    if min(rows.min(initial=0), columns.min(initial=0)) < 0:
        empty = (rows < 0) | (columns < 0)
        i = int(np.argmax(empty))
        if not skip_missing:
            template = first[i] if rows[i] < 0 else second[i]
            raise UserError(f"pair {i + 1} names template {template}, which has no image; check the media list")
        skipped = np.stack([first, second], 1)[empty].tolist()
        rows, columns, same = rows[~empty], columns[~empty], same[~empty]
    scores = pair_scores(templates.vectors, rows, columns, contexts)
    del rows, columns
    return verify_scores(scores[same], scores[~same], skipped=skipped)


def verify_scores(
    genuine: np.ndarray, impostors: np.ndarray, fars: Sequence[float] = FARS, skipped: Sequence[list[int]] = ()
) -> TemplateVerification:
    """TAR at `fars` from float32 scores in any order.

    Raises:
        UserError: there is no genuine or no impostor score.
    """
    if not len(genuine) or not len(impostors):
        raise UserError(f"{len(genuine)} genuine and {len(impostors)} impostor pairs; both kinds are needed")
    genuine, impostors, total = np.sort(genuine), np.asarray(impostors, np.float32), len(impostors)
    sample = impostors[:: max(1, total >> 16)]
    wanted = int(total * _SORTED_SHARE) + 1
    highest = HighestScores(wanted)
    # A little more than the share that is wanted: what is surely below it need not be moved.
    some = impostors[impostors >= np.quantile(sample, 1 - 1.1 * _SORTED_SHARE).astype(np.float32)]
    highest.add(some if len(some) >= wanted else impostors)
    upper = highest.kept()
    nearest = nearest_tar(genuine, upper, total, fars)
    if None in nearest:
        upper = np.sort(impostors)
        nearest = nearest_tar(genuine, upper, total, fars)
    counted = None
    if len(upper) < total:
        # Where the curve gets its points above the sorted share needs no exactness, but how many scores reach them.
        thresholds = np.quantile(sample, [1 - far for far in _CURVE_FARS]).astype(np.float32)
        counted = thresholds, _count_reached(impostors, thresholds)
    curve = VerificationCurve(genuine, upper, total, counted)
    at_most = [curve.at(far)[1] for far in fars]
    return TemplateVerification(len(genuine), total, nearest, at_most, curve, tuple(fars), list(skipped))


def _count_reached(scores, thresholds):
    """How many scores are at least each threshold."""
    counts = []
    for_parts(
        lambda here: counts.append([np.count_nonzero(scores[here] >= limit) for limit in thresholds]), len(scores)
    )
    return np.sum(counts, axis=0)
