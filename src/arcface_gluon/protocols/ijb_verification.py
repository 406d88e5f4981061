"""IJB-B and IJB-C, 1:1: pooling of images into templates, scores of template pairs, TAR at FAR.

Pooling: the features of the images of one medium (a video) are averaged, the media of a template are summed, and the
sum is scaled to length 1. Scores are cosines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Sequence

import mxnet as mx
import numpy as np

from .. import runtime
from ..errors import UserError
from ..parallel.threads import in_parts
from ..progress import progress
from .scores import compiled_sums
from .scores.blocks import COLUMN_BLOCK, block_edges, score_blocks, unit
from .scores.copies import first_copies
from .scores.curves import HighestScores, VerificationCurve, nearest_tar

# Rows in a block of products, and pairs whose scores are gathered at a time.
_PAIR_ROWS = 512
_PAIRS_TOGETHER = 1 << 14
# Pairs that are worth a thread.
_WORTH_A_THREAD = 1 << 16
COMPILED = find_spec("numba") is not None
FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Share of the impostor scores that is sorted; FARS need somewhat more than the largest of them.
_SORTED_SHARE = 0.125
# FARs of the curve's points above that share.
_CURVE_FARS = (0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def _for_parts(work, count):
    """Call `work(slice)` on all of 0 … count-1, some that stay in the cache at a time, over all threads."""

    def several(first, last):
        for start in range(first, last, _PAIRS_TOGETHER):
            work(slice(start, min(start + _PAIRS_TOGETHER, last)))

    in_parts(several, count, _WORTH_A_THREAD)


@dataclass
class Templates:
    """ids: (t,) template numbers, ascending. vectors: (t, d) float32 of length 1."""

    ids: np.ndarray
    vectors: np.ndarray

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Positions of template numbers; -1 for those that have no image."""
        ids = np.asarray(ids)
        low, high = int(self.ids[0]), int(self.ids[-1])
        if high - low < 1 << 26:
            # Template numbers are small: for millions of pairs a table is ten times as fast as a search.
            # Its two ends stand for all numbers below and above.
            table = np.full(high - low + 3, -1, np.int32)
            table[self.ids - low + 1] = np.arange(len(self.ids))
            found = np.empty(len(ids), table.dtype)

            def look_up(here):
                np.take(table, ids[here] - (low - 1), out=found[here], mode="clip")

            _for_parts(look_up, len(ids))
            return found
        positions = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[positions] == ids, positions, -1)


def pool(
    features: np.ndarray,
    templates: np.ndarray,
    media: np.ndarray | None = None,
    detector_scores: np.ndarray | None = None,
    norm_weighting: bool = False,
    names: Sequence[Any] | np.ndarray | None = None,
    contexts: runtime.Devices = None,
) -> Templates:
    """Average images into templates, by sparse products; on CPUs compiled, where numba is installed.

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
    ids, rows, _ = _distinct(templates)
    weights = np.ones(len(features))
    if detector_scores is not None:
        wrong = np.flatnonzero(~(np.asarray(detector_scores) >= 0))
        if wrong.size:
            i = wrong[0]
            raise UserError(f"the detector score of image {_name(names, i)} is {detector_scores[i]}; it must be >= 0")
        weights *= detector_scores
    if media is not None:
        numbers, medium, _ = _distinct(np.asarray(media))
        _, place, sizes = _distinct(rows * len(numbers) + medium)
        weights /= sizes[place]
    order = np.arange(len(rows)) if _is_ascending(rows) else np.argsort(rows, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(ids)))])
    device = runtime.contexts(contexts)[0]
    if COMPILED and device.device_type == "cpu":
        sums, lengths = compiled_sums.weighted_sums(features, order, starts, weights, not norm_weighting)
        _refuse_bad(features, lengths, names)
    else:
        lengths = _lengths(features)
        _refuse_bad(features, lengths, names)
        sums = _sparse_sums(features, order, starts, weights if norm_weighting else weights / lengths, device)
    return Templates(ids, unit(sums, names=ids, what="template"))


def _distinct(values):
    """`np.unique` with inverse and counts; at once where the values are ascending already, as in lists they are."""
    if not (values[1:] >= values[:-1]).all():
        return np.unique(values, return_inverse=True, return_counts=True)
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    counts = np.diff(np.r_[starts, len(values)])
    return values[starts], np.repeat(np.arange(len(starts)), counts), counts


def _sparse_sums(features, order, starts, weights, device):
    """Sums (t, d) of weighted features by template: sparse products, each of whole templates with some 32,000 images.

    MXNet refuses a matrix, also a sparse one, of 2^31 places or more.
    """
    sums = np.empty((len(starts) - 1, features.shape[1]), np.float32)
    ordered, first = _is_ascending(order), 0
    while first < len(sums):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + COLUMN_BLOCK, side="right")) - 1)
        here = slice(starts[first], starts[last])
        chosen = here if ordered else order[here]
        images = mx.nd.from_numpy(features[chosen], zero_copy=True).as_in_context(device)
        shape = last - first, images.shape[0]
        values = weights[chosen].astype(np.float32), np.arange(shape[1]), starts[first : last + 1] - starts[first]
        matrix = mx.nd.sparse.csr_matrix(values, shape=shape, ctx=device)
        sums[first:last] = mx.nd.dot(matrix, images).asnumpy()
        first = last
    return sums


def _lengths(features):
    """Euclidean lengths (n,)."""
    lengths = np.empty(len(features))

    def measure(first, last):
        part = features[first:last]
        np.sqrt(np.einsum("ij,ij->i", part, part), out=lengths[first:last])

    in_parts(measure, len(features), COLUMN_BLOCK // 8)
    return lengths


def _refuse_bad(features, lengths, names):
    """Refuses NaN and zero features as `unit` does."""
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if wrong.size:
        unit(features[wrong[:1]], [_name(names, wrong[0])], what="image")


def _name(names, i):
    return names[i] if names is not None else f"number {i}"


def _one_each(count, **columns):
    for name, column in columns.items():
        if column is not None and len(column) != count:
            raise UserError(f"{count} features, but {len(column)} {name.replace('_', ' ')}; there must be one an image")


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
    if not _is_ascending(key):
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

    _for_parts(work, len(out))


def _places(positions, count):
    """The distinct positions, ascending, and a table of each position's place among them."""
    used = np.zeros(count, bool)
    _for_parts(lambda here: used.__setitem__(positions[here], True), len(positions))
    return np.flatnonzero(used), np.cumsum(used) - 1


def _is_ascending(values):
    descents = []

    def look(here):
        part = values[here.start : here.stop + 1]  # with the next part's first
        if not descents and (part[1:] < part[:-1]).any():
            descents.append(here)

    _for_parts(look, len(values))
    return not descents


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
    _for_parts(
        lambda here: counts.append([np.count_nonzero(scores[here] >= limit) for limit in thresholds]), len(scores)
    )
    return np.sum(counts, axis=0)
