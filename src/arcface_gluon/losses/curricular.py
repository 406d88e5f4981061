"""CurricularFace: hard negatives count for more the further training has come."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from .shard import Shard
from .sharded_head import ShardedMarginHead

nd = mx.nd


class CurricularHead(ShardedMarginHead):
    """`ShardedMarginHead` with the target cos(theta_y + m) and, for the others, N(t, cos theta_j).

    Huang et al., CurricularFace, CVPR 2020: N(t, c) = c where c <= cos(theta_y + m), and c (t + c) where it is larger,
    a hard negative. t is the moving average of the batches' mean cos(theta_y): t = alpha t + (1 - alpha) mean, from 0
    on, and has no gradient. Published settings: ArcFace's margin 0.5 and s = 64.

    Args:
        alpha: of the moving average.
        others: as for `ShardedMarginHead`; any `Margin` takes the place of cos(theta_y + m).

    Attributes:
        t: the moving average.
    """

    def __init__(self, num_classes, embedding_size, contexts, alpha=0.99, **others):
        self.t, self.alpha = 0.0, float(alpha)
        super().__init__(num_classes, embedding_size, contexts, **others)

    def state(self):
        return {"t": self.t}

    def load_state(self, state):
        self.t = state.get("t", self.t)

    def _make_shard(self, start, stop, context):
        return _CurricularShard(start, stop, self.embedding_size, context, block_rows=self._block_rows)

    def _prepare(self, inputs):
        angles = [shard.locate(x, own, classes) for shard, (x, _, own, classes) in zip(self._shards, inputs)]
        theta = self._group.collect([own for _, _, own, _ in inputs], angles, inputs[0][0].shape[0])
        self.t = self.alpha * self.t + (1 - self.alpha) * float(np.cos(theta).mean())
        for shard in self._shards:
            shard.set_curriculum(self.t, self.margin(theta)[0], self.scale)


class _CurricularShard(Shard):
    def locate(self, features, samples, classes):
        """(t,) target angles, before `forward`."""
        self._measure_stale_norms()
        self._features, self._samples, self._classes = features, samples, classes
        if len(classes):
            self._pick_targets()
        return self._target_angles()

    def set_curriculum(self, t, thresholds, scale):
        """What makes a negative hard, (B,) cosines, and how much it then counts."""
        self._t, self._scale = t, scale
        self._thresholds = self._upload(thresholds * scale)

    def _modulate(self, logits):
        hard = nd.broadcast_greater(logits, self._thresholds)
        cosine = logits / self._scale
        nd.elemwise_mul(logits, hard * (cosine + (self._t - 1)) + 1, out=logits)
        return hard * (2 * cosine + (self._t - 1)) + 1
