"""Sub-centre ArcFace: several centres an identity, of which the nearest counts."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from .shard import MASKED, Shard
from .sharded_head import ShardedMarginHead

nd = mx.nd


class SubCentreHead(ShardedMarginHead):
    """`ShardedMarginHead` with K centres an identity: cos(theta_j) = max_k W_jk . x / (|W_jk| |x|).

    Deng et al., Sub-center ArcFace, ECCV 2020, with K = 3 there. Noisy images gather at centres of their own, so that
    the others stay clean. The gradient goes to the nearest sub-centre only, also of the other identities.

    Args:
        sub_centres: K.
        others: as for `ShardedMarginHead`. Arrays of a checkpoint, `centres` and `set_centres` have K rows an identity,
            one after the other.
    """

    def __init__(self, num_classes, embedding_size, contexts, sub_centres=3, **others):
        self.rows_per_class = int(sub_centres)
        super().__init__(num_classes, embedding_size, contexts, **others)

    def _make_shard(self, start, stop, context):
        return _SubCentreShard(start, stop, self.embedding_size, context, self.rows_per_class, self._block_rows)


class _SubCentreShard(Shard):
    """What `Shard` calls classes are rows here: K a class."""

    def forward(self, features, scale, samples, classes):
        self._measure_stale_norms()
        super().forward(features, scale, samples, self._nearest(features, samples, classes))

    def _nearest(self, features, samples, classes):
        """(t,) rows: of each sample's own sub-centres, the one with the largest cosine."""
        if not len(classes):
            return classes
        count = self.rows_per_class
        rows = classes[:, None] * count + np.arange(count)
        index = nd.array(rows.reshape(-1), self.context, dtype="int32")
        units = (nd.take(self.weight, index) * nd.take(self.inverse_norms, index)).reshape((len(classes), count, -1))
        own = nd.take(features, nd.array(samples, self.context, dtype="int32")).expand_dims(1)
        cosines = nd.sum(nd.broadcast_mul(units, own), axis=2).asnumpy()
        return rows[np.arange(len(classes)), cosines.argmax(axis=1)]

    def _place_masks(self):
        # All sub-centres of the target's class are out of the softmax of the others.
        rows, samples, count = self._classes, self._samples, self.rows_per_class
        self._classes = (rows[:, None] // count * count + np.arange(count)).reshape(-1)
        self._samples = np.repeat(samples, count)
        super()._place_masks()
        self._classes, self._samples = rows, samples

    def _modulate(self, logits):
        # Of each class, only the nearest sub-centre stays.
        batch, width = logits.shape
        grouped = logits.reshape((batch, width // self.rows_per_class, self.rows_per_class))
        farther = nd.broadcast_lesser(grouped, nd.max(grouped, axis=2, keepdims=True))
        # MASKED takes the place of what is added to it: float32 has no digits left for a logit.
        nd.elemwise_add(grouped, farther * MASKED, out=grouped)
