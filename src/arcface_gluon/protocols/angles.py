"""Angle statistics of embeddings and class centres: the six rows of the paper's Table 3, in degrees.

| row | definition |
| --- | --- |
| W-EC | mean over classes of the angle between W_j and the embedding feature centre of class j |
| W-Inter | mean over classes of the smallest angle between W_j and another W_k |
| Intra1, Intra2 | mean over images of the angle between x_i and its class's embedding feature centre |
| Inter1, Inter2 | mean over classes of the smallest angle between embedding feature centres |

1 is the training set, 2 the verification set (LFW). The embedding feature centre is the direction of the sum of a
class's unit embeddings. Angles are computed in float64; which centre is nearest is found by float32 products of
blocks, so a smallest angle above one degree is off by less than 0.001 degrees.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .. import runtime
from ..errors import UserError
from ..progress import progress
from .scores.blocks import COLUMN_BLOCK, ROW_BLOCK, block_edges, score_blocks, unit
from .scores.sums import identity_sums

# Embeddings taken at a time; in float64 they are 32 MiB at 512 values.
_BLOCK = 8192


@dataclass
class AngleStatistics:
    """Mean angles in degrees; None where there is nothing to average.

    single_images: classes with one image; its angle to the centre, which it is, counts as 0 in `intra`.
    """

    intra: float
    inter: float | None
    w_ec: float | None
    w_inter: float | None
    images: int
    classes: int
    single_images: int

    def to_json(self) -> dict:
        return asdict(self)


def angle_statistics(
    embeddings: np.ndarray,
    labels: np.ndarray,
    centres: np.ndarray | list[np.ndarray] | None = None,
    contexts: runtime.Devices = None,
) -> AngleStatistics:
    """Statistics of one set.

    Args:
        embeddings: (n, d) features, any scale; may be a memory map, it is read twice in blocks.
        labels: (n,) class of each; with `centres` its row there.
        centres: (C, d) class centres W or a list of their shards in order, any scale; None for a verification set.

    Raises:
        UserError: NaN or zero vectors (numbered), a label without a centre, sizes that do not fit.
    """
    labels = np.asarray(labels)
    if len(labels) != len(embeddings) or not len(labels):
        raise UserError(f"{len(embeddings)} embeddings and {len(labels)} labels; there must be one label an embedding")
    classes, rows, images = np.unique(labels, return_inverse=True, return_counts=True)
    means = _feature_centres(embeddings, classes, rows, images)
    total = 0.0
    for start in progress(range(0, len(embeddings), _BLOCK), unit="block", desc="angles"):
        total += _angles(embeddings[start : start + _BLOCK], means[rows[start : start + _BLOCK]]).sum()
    w_ec = w_inter = None
    if centres is not None:
        centres = np.concatenate(centres) if isinstance(centres, list) else np.asarray(centres)
        if classes[0] < 0 or classes[-1] >= len(centres) or centres.shape[1] != embeddings.shape[1]:
            raise UserError(
                f"labels go from {classes[0]} to {classes[-1]} and embeddings have {embeddings.shape[1]} values, but "
                f"the centres are {centres.shape[0]} x {centres.shape[1]}; take the run's own training set"
            )
        w_inter = mean_smallest_angle(unit(centres, what="class centre"), contexts)
        w_ec = float(_angles(centres[classes], means).mean())
    single = int(np.count_nonzero(images == 1))
    inter = mean_smallest_angle(means, contexts)
    return AngleStatistics(float(total / len(labels)), inter, w_ec, w_inter, len(labels), len(classes), single)


def table3(training: AngleStatistics, verification: AngleStatistics) -> dict[str, float | None]:
    """The six rows of Table 3 for one network, in degrees."""
    return {
        "W-EC": training.w_ec,
        "W-Inter": training.w_inter,
        "Intra1": training.intra,
        "Inter1": training.inter,
        "Intra2": verification.intra,
        "Inter2": verification.inter,
    }


def mean_smallest_angle(vectors: np.ndarray, contexts: runtime.Devices = None) -> float | None:
    """Mean over unit `vectors` (c, d) float32 of the smallest angle to another one, in degrees; None if c < 2."""
    if len(vectors) < 2:
        return None
    best = np.full(len(vectors), -np.inf, np.float32)
    nearest = np.zeros(len(vectors), np.int64)
    edges = block_edges(len(vectors), COLUMN_BLOCK)
    blocks = score_blocks(vectors, lambda a, b: vectors[a:b], edges, runtime.contexts(contexts), ROW_BLOCK)
    for row_start, column_start, scores in progress(blocks, unit="block", desc="nearest centres"):
        rows = np.arange(row_start, row_start + len(scores))
        own = np.flatnonzero((rows >= column_start) & (rows < column_start + scores.shape[1]))
        if own.size:
            scores = scores.copy()
            scores[own, rows[own] - column_start] = -np.inf
        found = scores.argmax(axis=1)
        score = scores[np.arange(len(rows)), found]
        better = score > best[rows]
        best[rows[better]] = score[better]
        nearest[rows[better]] = found[better] + column_start
    parts = range(0, len(vectors), _BLOCK)
    total = sum(_angles(vectors[i : i + _BLOCK], vectors[nearest[i : i + _BLOCK]]).sum() for i in parts)
    return float(total / len(vectors))


def _feature_centres(embeddings, classes, rows, images):
    """Unit float32 centres of the classes."""
    sums = identity_sums(embeddings, rows, len(classes), dtype=np.float64, block=_BLOCK)
    for i in np.flatnonzero(np.einsum("ij,ij->i", sums, sums) < (1e-5 * images) ** 2)[:1]:
        raise UserError(f"the embeddings of class {classes[i]} cancel out, so it has no centre; look at its images")
    return unit(sums)


def _angles(a, b):
    """Angles in degrees between rows of any length, in float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    products = np.einsum("ij,ij->i", a, b)
    lengths = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.degrees(np.arccos(np.clip(products / lengths, -1, 1)))
