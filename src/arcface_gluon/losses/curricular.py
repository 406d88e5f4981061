"""CurricularFace: hard negatives count for more the further training has come."""

from __future__ import annotations

from typing import Any, cast

import mxnet as mx
import numpy as np

from .interfaces import Margin
from .sharded_head import ShardedMarginHead


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

    can_smooth = False

    def __init__(
        self, num_classes: int, embedding_size: int, contexts: list[mx.Context], alpha: float = 0.99, **others: Any
    ):
        self.t, self.alpha = 0.0, float(alpha)
        super().__init__(num_classes, embedding_size, contexts, **others)

    def state(self) -> dict:
        return {**super().state(), "t": self.t}

    def load_state(self, state: dict) -> None:
        super().load_state(state)
        self.t = state.get("t", self.t)

    def _modulations(self, owns):
        theta = self._collect(owns)
        self.t = self.alpha * self.t + (1 - self.alpha) * float(np.cos(theta).mean())
        margin = cast(Margin, self.margin)
        thresholds = margin(theta)[0] * self.scale  # cosines beyond which a negative is hard, as logits
        return [self._harden(own.shard.kernels.column(thresholds)) for own in owns]

    def _harden(self, thresholds):
        excess, scale = self.t - 1, self.scale

        def modulate(logits, here):
            hard = logits > thresholds[here]
            cosine = logits / scale
            logits *= hard * (cosine + excess) + 1
            return hard * (2 * cosine + excess) + 1

        return modulate
