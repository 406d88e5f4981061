"""Sub-centre ArcFace: several centres an identity, of which the nearest counts."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from .shard import Shard
from .shard_step import MASKED, Own
from .sharded_head import ShardedMarginHead


class _SubCentreShard(Shard):
    def _rows(self, features, samples, classes):
        """Of each sample's own sub-centres, the one with the largest cosine."""
        if not len(classes):
            return classes
        kernels, count = self.kernels, self.rows_per_class
        rows = classes[:, None] * count + np.arange(count)
        index = kernels.index(rows.reshape(-1))
        units = kernels.take(kernels.wrap(self.weight).get(), index)
        units = units * kernels.take(kernels.wrap(self.inverse_norms).get(), index)
        own = kernels.take(kernels.wrap(features).get(), kernels.index(np.repeat(samples, count)))
        cosines = kernels.to_host(kernels.row_dots(units, own)).reshape(rows.shape)
        return rows[np.arange(len(classes)), cosines.argmax(axis=1)]

    def masked(self, own: Own) -> tuple[np.ndarray, np.ndarray]:
        # All sub-centres of the target's class are out of the softmax of the others.
        count = self.rows_per_class
        rows = own.rows[:, None] // count * count + np.arange(count)
        return np.repeat(own.samples, count), rows.reshape(-1)


class SubCentreHead(ShardedMarginHead):
    """`ShardedMarginHead` with K centres an identity: cos(theta_j) = max_k W_jk . x / (|W_jk| |x|).

    Deng et al., Sub-center ArcFace, ECCV 2020, with K = 3 there. Noisy images gather at centres of their own, so that
    the others stay clean. The gradient goes to the nearest sub-centre only, also of the other identities.

    Args:
        sub_centres: K.
        others: as for `ShardedMarginHead`. Arrays of a checkpoint, `centres` and `set_centres` have K rows an identity,
            one after the other.
    """

    kind = _SubCentreShard
    can_smooth = False

    def __init__(
        self, num_classes: int, embedding_size: int, contexts: list[mx.Context], sub_centres: int = 3, **others: Any
    ):
        self.rows_per_class = int(sub_centres)
        super().__init__(num_classes, embedding_size, contexts, **others)

    def _modulations(self, owns):
        return [self._nearest_only] * len(owns)

    def _nearest_only(self, logits, _):
        """Of each class, only the nearest sub-centre stays."""
        grouped = logits.reshape((logits.shape[0], -1, self.rows_per_class))
        farther = grouped < grouped.max(axis=2, keepdims=True)
        # MASKED takes the place of what is added to it: float32 has no digits left for a logit.
        grouped += farther * np.float32(MASKED)
