"""IJB-B and IJB-C: images pooled into templates.

The features of the images of one medium (a video) are averaged, the media of a template are summed, and the sum is
scaled to length 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Sequence

import mxnet as mx
import numpy as np

from .. import runtime
from ..errors import UserError
from ..parallel.threads import in_parts
from .scores import compiled_sums, host_sums
from .scores.blocks import COLUMN_BLOCK, unit
from .scores.passes import for_parts, is_ascending, run_borders

add_up = (compiled_sums if find_spec("numba") is not None else host_sums).add_up
# Templates that are worth a thread, and those whose sums stay in the cache together.
_WORTH_A_THREAD, _TOGETHER = 64, 512


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

            for_parts(look_up, len(ids))
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
    """Average images into templates.

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
    ids, order, starts = _by_template(templates)
    weights = np.ones(len(features))
    if detector_scores is not None:
        wrong = np.flatnonzero(~(np.asarray(detector_scores) >= 0))
        if wrong.size:
            i = wrong[0]
            raise UserError(f"the detector score of image {_name(names, i)} is {detector_scores[i]}; it must be >= 0")
        weights *= detector_scores
    if media is not None:
        weights /= _images_of_medium(templates, np.asarray(media))
    device = runtime.contexts(contexts)[0]
    if device.device_type == "cpu":
        return Templates(ids, _pooled(features, order, starts, weights, not norm_weighting, ids, names))
    lengths = _lengths(features)
    _refuse_bad(features, lengths, names)
    sums = _sparse_sums(features, order, starts, weights if norm_weighting else weights / lengths, device)
    return Templates(ids, unit(sums, names=ids, what="template"))


def _pooled(features, order, starts, weights, scaled, ids, names):
    """Vectors (t, d) of length 1: some templates at a time, so that their sums stay in the cache, over all threads."""
    vectors, lengths, failed = np.empty((len(ids), features.shape[1]), np.float32), np.zeros(len(features)), []

    def work(first, last):
        memory = np.empty((_TOGETHER, features.shape[1]), np.float32)
        for begin in range(first, last, _TOGETHER):
            end = min(begin + _TOGETHER, last)
            sums = memory[: end - begin]
            add_up(features, order, starts[begin : end + 1], weights, scaled, lengths, sums)
            try:
                unit(sums, ids[begin:end], "template", vectors[begin:end])
            except UserError as error:
                failed.append((begin, error))  # which may be for an image that is worse

    in_parts(work, len(ids), _WORTH_A_THREAD)
    _refuse_bad(features, lengths, names)
    if failed:
        raise min(failed, key=lambda one: one[0])[1]
    return vectors


def _by_template(templates):
    """(ids, order, starts): the distinct numbers, ascending; images in their order; where in it each one's begin."""
    borders = run_borders(templates)
    ids = templates[borders[:-1]]
    if (ids[1:] > ids[:-1]).all():  # as in lists they are
        return ids, np.arange(len(templates)), borders
    order = np.argsort(templates, kind="stable")
    ids, _, starts = _by_template(templates[order])
    return ids, order, starts


def _images_of_medium(templates, media):
    """How many images there are (n,) of each image's template and medium."""
    borders = run_borders(templates, media)
    template, medium, sizes = templates[borders[:-1]], media[borders[:-1]], np.diff(borders)
    later = (template[1:] > template[:-1]) | ((template[1:] == template[:-1]) & (medium[1:] > medium[:-1]))
    if not later.all():  # there may be more than one run of the same
        (_, template), (numbers, medium) = (np.unique(some, return_inverse=True) for some in (template, medium))
        _, place = np.unique(template * len(numbers) + medium, return_inverse=True)
        return np.repeat(np.bincount(place, sizes)[place], sizes)
    return np.repeat(sizes, sizes)


def _sparse_sums(features, order, starts, weights, device):
    """Sums (t, d) of weighted features by template: sparse products, each of whole templates with some 32,000 images.

    MXNet refuses a matrix, also a sparse one, of 2^31 places or more.
    """
    sums = np.empty((len(starts) - 1, features.shape[1]), np.float32)
    ordered, first = is_ascending(order), 0
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
