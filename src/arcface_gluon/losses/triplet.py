"""Angular Triplet-Loss with semi-hard mining within the gathered batch, alone or beside a classification head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import mxnet as mx
import numpy as np

from ..parallel.collectives import ContextGroup
from .interfaces import SMALLEST_SINE
from .labels import gather_labels

if TYPE_CHECKING:
    from .sharded_head import ShardedMarginHead


def triplet_terms(units: np.ndarray, labels: np.ndarray, margin: float) -> tuple[float, np.ndarray, int, float]:
    """Mean hinge of the semi-hard triplets of a batch, and its gradient.

    For every anchor a and positive p of the same identity, the negative n is the nearest one of another identity with
    theta_ap < theta_an < theta_ap + margin (semi-hard: farther than the positive, yet within the margin); pairs without
    such a negative take no part. Loss = mean over these triplets of theta_ap + margin - theta_an.

    Args:
        units: (B, d) float64 unit embeddings.
        labels: (B,) identities.
        margin: m, radians.

    Returns:
        loss (0 where nothing is mined); (B, d) its gradient by `units`, still with the radial part; number of triplets;
        share of the (anchor, positive) pairs that every negative is farther from than the positive is, plus the margin
        (NaN where there is no pair or no negative).
    """
    cosines = np.clip(units @ units.T, -1, 1)
    theta = np.arccos(cosines)
    same = labels[:, None] == labels
    pairs = same & ~np.eye(len(labels), dtype=bool)
    nearest = np.argsort(np.where(same, np.inf, theta), axis=1)  # the other identities first, by angle
    strangers = (~same).sum(axis=1)
    triplets, kept = [], []
    for anchor in np.flatnonzero(pairs.any(axis=1) & (strangers > 0)):
        order = nearest[anchor, : strangers[anchor]]
        angles, positives = theta[anchor, order], np.flatnonzero(pairs[anchor])
        own = theta[anchor, positives]
        kept.append(angles[0] >= own + margin)
        place = np.searchsorted(angles, own, side="right")
        mined = np.append(angles, np.inf)[place] < own + margin
        triplets += [(anchor, p, order[i]) for p, i in zip(positives[mined], place[mined])]
    share = float(np.mean(np.concatenate(kept))) if kept else float("nan")
    if not triplets:
        return 0.0, np.zeros_like(units), 0, share
    a, p, n = np.array(triplets).T
    by_angle = np.zeros_like(theta)
    by_angle[a, p] = 1 / len(a)  # a pair is in one triplet at most
    np.subtract.at(by_angle, (a, n), 1 / len(a))
    by_cosine = -by_angle / np.maximum(np.sqrt(1 - cosines**2), SMALLEST_SINE)
    loss = float(np.mean(theta[a, p] + margin - theta[a, n]))
    return loss, (by_cosine + by_cosine.T) @ units, len(a), share


class TripletHead:
    """Triplet-Loss with the interface of `ShardedMarginHead`: alone, or added to the loss of such a head.

    arccos(x_pos . x_i) + m <= arccos(x_neg . x_i) as a hinge (see `triplet_terms`), with negatives and positives from
    the whole batch. Give it batches of several images an identity (`data.images_per_identity`).

    Args:
        num_classes: identities of the data (checkpoints record it).
        embedding_size: d.
        contexts: devices.
        margin: m, radians; 0.35 in Table 2.
        weight: factor of the term.
        head: head whose loss it is added to, on the same contexts; None: the Triplet-Loss alone.
        group: devices of several processes (parallel/process_group.py); None: the contexts alone.

    Attributes:
        triplets: number of triplets of the last batch.
        accuracy: the head's; without one, the share of the last batch's (anchor, positive) pairs that hold the margin.
        target_angles: the head's; empty without one, since there are no centres.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        contexts: list[mx.Context],
        margin: float = 0.35,
        weight: float = 1.0,
        head: ShardedMarginHead | None = None,
        group: ContextGroup | None = None,
    ):
        self.num_classes, self.embedding_size = int(num_classes), int(embedding_size)
        self.margin, self.weight, self.head = float(margin), float(weight), head
        self.accuracy, self.target_angles, self.triplets = float("nan"), np.zeros(0), 0
        self._group = ContextGroup(contexts) if group is None else group

    @property
    def contexts(self) -> list[mx.Context]:
        """Devices."""
        return self._group.contexts

    def forward_backward(
        self, embeddings: list[mx.nd.NDArray], labels: list[np.ndarray]
    ) -> tuple[float, list[mx.nd.NDArray]]:
        """Loss of a batch and its gradient; arguments, results and errors are those of `ShardedMarginHead`."""
        loss, gradients = 0.0, []
        if self.head:
            loss, gradients = self.head.forward_backward(embeddings, labels)
            labels = self.head.labels
        else:
            labels = gather_labels(self._group, embeddings, labels, self.embedding_size, self.num_classes)
        rows = self._group.gather([part.astype("float32", copy=False) for part in embeddings])[0]
        rows = rows.asnumpy().astype(np.float64)
        lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        units = rows / lengths
        term, pull, self.triplets, share = triplet_terms(units, labels, self.margin)
        pull = self.weight * (pull - (pull * units).sum(axis=1, keepdims=True) * units) / lengths
        slices = self._group.own_slices(pull, [part.shape[0] for part in embeddings])
        added = [mx.nd.array(own, part.context, dtype=part.dtype) for own, part in zip(slices, embeddings)]
        self.accuracy = self.head.accuracy if self.head else share
        self.target_angles = self.head.target_angles if self.head else np.zeros(0)
        if gradients:
            added = [a + b for a, b in zip(gradients, added)]
        return loss + self.weight * term, added

    def update(self, lr: float, momentum: float = 0.9, wd: float = 0.0, nesterov: bool = False) -> None:
        """SGD on the head's centres, where there is a head."""
        if self.head:
            self.head.update(lr, momentum, wd, nesterov)

    def gradient_square(self) -> float:
        """Of the head's centres; 0 without a head."""
        return self.head.gradient_square() if self.head else 0.0

    def state(self) -> dict:
        """The head's, for checkpoints."""
        return self.head.state() if self.head else {}

    def load_state(self, state: dict) -> None:
        """Go on from a checkpoint's `state`."""
        if self.head:
            self.head.load_state(state)

    def shards(self) -> Iterator[tuple[int, int, dict]]:
        """The head's shards for checkpoints; none without a head."""
        return self.head.shards() if self.head else iter(())

    def layout(self) -> dict:
        """The head's arrays in a checkpoint; none without a head."""
        return self.head.layout() if self.head else {}

    def load_rows(self, start: int, arrays: dict) -> None:
        """Copy rows of a checkpoint into the head."""
        if self.head:
            self.head.load_rows(start, arrays)
