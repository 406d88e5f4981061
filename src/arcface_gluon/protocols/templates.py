"""IJB-B and IJB-C, 1:1: pooling of images into templates, scores of template pairs, TAR at FAR.

Pooling: the features of the images of one medium (a video) are averaged, the media of a template are summed, and the
sum is scaled to length 1. Scores are cosines.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mxnet as mx
import numpy as np
from tqdm import tqdm

from .. import runtime
from ..errors import UserError
from .blocks import COLUMN_BLOCK, ROW_BLOCK, block_edges, score_blocks, unit
from .curves import HighestScores, VerificationCurve, nearest_tar

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Share of the impostor scores that is sorted; FARS need somewhat more than the largest of them.
_SORTED_SHARE = 0.125
# FARs of the curve's points above that share.
_CURVE_FARS = (0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass
class Templates:
    """ids: (t,) template numbers, ascending. vectors: (t, d) float32 of length 1."""

    ids: np.ndarray
    vectors: np.ndarray

    def rows(self, ids):
        """Positions of template numbers; -1 for those that have no image."""
        ids = np.asarray(ids)
        positions = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[positions] == ids, positions, -1)


def pool(features, templates, media=None, detector_scores=None, norm_weighting=False, names=None, contexts=None):
    """Average images into templates with one sparse product.

    Args:
        features: (n, d), as the network gives them: the sum of image and mirror, not scaled.
        templates: (n,) template number of each image. media: (n,) medium of each, or None to average images directly.
        detector_scores: (n,) weight of each image, or None. The paper uses none.
        norm_weighting: keep each feature's length as its weight (the public evaluation scripts' default); False, the
            paper's plain feature centre, scales features to length 1 first.
        names: what to call the images in errors.

    Raises:
        UserError: an image with NaN or zero features, a bad detector score, or a template whose features cancel out.
    """
    templates = np.asarray(templates)
    _one_each(len(features), templates=templates, media=media, detector_scores=detector_scores)
    if not len(features):
        raise UserError("there is no image to make templates of")
    features = np.ascontiguousarray(features, np.float32)
    ids, rows = np.unique(templates, return_inverse=True)
    weights = np.ones(len(features))
    if detector_scores is not None:
        wrong = np.flatnonzero(~(np.asarray(detector_scores) >= 0))
        if wrong.size:
            i = wrong[0]
            raise UserError(f"the detector score of image {_name(names, i)} is {detector_scores[i]}; it must be >= 0")
        weights *= detector_scores
    lengths = _lengths(features, names)
    if not norm_weighting:
        weights /= lengths
    if media is not None:
        numbers, medium = np.unique(media, return_inverse=True)
        _, place, sizes = np.unique(rows * len(numbers) + medium, return_inverse=True, return_counts=True)
        weights /= sizes[place]
    order = np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows))])
    device = runtime.contexts(contexts)[0]
    matrix = mx.nd.sparse.csr_matrix(
        (weights[order].astype(np.float32), order, starts), shape=(len(ids), len(features)), ctx=device
    )
    dense = mx.nd.from_numpy(features[:], zero_copy=True).as_in_context(device)
    sums = mx.nd.dot(matrix, dense).asnumpy()
    return Templates(ids, unit(sums, names=ids, what="template"))


def _lengths(features, names):
    """Euclidean lengths (n,); refuses NaN and zero features as `unit` does."""
    lengths = np.empty(len(features))
    for start in range(0, len(features), COLUMN_BLOCK):
        block = features[start : start + COLUMN_BLOCK]
        lengths[start : start + len(block)] = np.sqrt(np.einsum("ij,ij->i", block, block))
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if wrong.size:
        unit(features[wrong[:1]], [_name(names, wrong[0])], what="image")
    return lengths


def _name(names, i):
    return names[i] if names is not None else f"number {i}"


def _one_each(count, **columns):
    for name, column in columns.items():
        if column is not None and len(column) != count:
            raise UserError(f"{count} features, but {len(column)} {name.replace('_', ' ')}; there must be one an image")


def pair_scores(vectors, first, second, contexts=None):
    """Cosines of many pairs: products of blocks on all devices, of which the pairs' values are gathered.

    Rows and columns that occur in no pair are left out of the products.

    Args:
        vectors: (t, d) float32 of length 1. first, second: (p,) positions in it.

    Returns:
        (p,) float32.
    """
    used_rows, rows = _compact(first, len(vectors))
    used_columns, columns = _compact(second, len(vectors))
    left, right = vectors[used_rows], vectors[used_columns]
    scores = np.empty(len(rows), np.float32)
    key = rows if len(right) <= COLUMN_BLOCK else rows + columns // COLUMN_BLOCK * len(left)
    # Lists are usually sorted by the first template already; then there is nothing to move.
    order = None if (key[1:] >= key[:-1]).all() else np.argsort(key, kind="stable")
    if order is not None:
        rows, columns, key = rows[order], columns[order], key[order]
    gathered = scores if order is None else np.empty_like(scores)
    blocks = score_blocks(
        left, lambda a, b: right[a:b], block_edges(len(right), COLUMN_BLOCK), runtime.contexts(contexts), ROW_BLOCK
    )
    with tqdm(total=len(scores), disable=None, unit="pair", unit_scale=True, desc="scores") as bar:
        for row_start, column_start, block in blocks:
            base = row_start + column_start // COLUMN_BLOCK * len(left)
            here = slice(*np.searchsorted(key, [base, base + len(block)]))
            flat = (rows[here] - row_start) * block.shape[1] + (columns[here] - column_start)
            # The indices are in range by construction; "wrap" spares NumPy a buffered copy of the result.
            np.take(block.ravel(), flat, out=gathered[here], mode="wrap")
            bar.update(here.stop - here.start)
    if order is not None:
        scores[order] = gathered
    return scores


def _compact(positions, count):
    """The distinct positions, ascending, and each position's place among them (int64)."""
    used = np.zeros(count, bool)
    used[positions] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[positions]


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

    def to_json(self):
        names = [f"{far:.0e}" for far in self.fars]
        return {
            "genuine_pairs": self.genuine_pairs,
            "impostor_pairs": self.impostor_pairs,
            "tar_nearest_far": dict(zip(names, self.tar_nearest)),
            "tar_far_at_most": dict(zip(names, self.tar_at_most)),
            "roc": list(self.curve.points()),
            "skipped_pairs": len(self.skipped),
        }


def verify(templates: Templates, first, second, same, skip_missing=False, contexts=None):
    """1:1 verification over a list of template pairs.

    Args:
        first, second: (p,) template numbers. same: (p,) bool, whether the subject is the same.
        skip_missing: leave out pairs with a template that has no image, and list them in the result.

    Raises:
        UserError: a pair names a template without images, or all pairs are of one kind.
    """
    first, second, same = np.asarray(first), np.asarray(second), np.asarray(same, bool)
    rows, columns = templates.rows(first), templates.rows(second)
    empty = (rows < 0) | (columns < 0)
    skipped = []
    if empty.any():
        i = int(np.argmax(empty))
        if not skip_missing:
            template = first[i] if rows[i] < 0 else second[i]
            raise UserError(f"pair {i + 1} names template {template}, which has no image; check the media list")
        skipped = np.stack([first, second], 1)[empty].tolist()
        rows, columns, same = rows[~empty], columns[~empty], same[~empty]
    scores = pair_scores(templates.vectors, rows, columns, contexts)
    return verify_scores(scores[same], scores[~same], skipped=skipped)


def verify_scores(genuine, impostors, fars=FARS, skipped=()):
    """TAR at `fars` from float32 scores in any order.

    Raises:
        UserError: there is no genuine or no impostor score.
    """
    if not len(genuine) or not len(impostors):
        raise UserError(f"{len(genuine)} genuine and {len(impostors)} impostor pairs; both kinds are needed")
    genuine, total = np.sort(genuine), len(impostors)
    highest = HighestScores(int(total * _SORTED_SHARE) + 1)
    highest.add(np.asarray(impostors, np.float32))
    upper = highest.kept()
    nearest = nearest_tar(genuine, upper, total, fars)
    if None in nearest:
        upper = np.sort(impostors)
        nearest = nearest_tar(genuine, upper, total, fars)
    counted = None
    if len(upper) < total:
        # Where the curve gets its points above the sorted share needs no exactness, but how many scores reach them.
        sample = impostors[:: max(1, total >> 16)]
        thresholds = np.quantile(sample, [1 - far for far in _CURVE_FARS]).astype(np.float32)
        counted = thresholds, [np.count_nonzero(impostors >= limit) for limit in thresholds]
    curve = VerificationCurve(genuine, upper, total, counted)
    at_most = [curve.at(far)[1] for far in fars]
    return TemplateVerification(len(genuine), total, nearest, at_most, curve, tuple(fars), list(skipped))
