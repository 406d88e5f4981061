"""Label smoothing: a share of each sample's label is spread over all classes (Szegedy et al., CVPR 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import mxnet as mx
import numpy as np

from ..parallel.products import dot, inner
from .targets import Target

if TYPE_CHECKING:
    from ..parallel.collectives import ContextGroup
    from .shard import Shard


class LabelSmoothing:
    """(1 - e) CE(y) + e / N sum_j CE(j), CE(j) being the cross entropy for class j; N classes.

    With logits z that is CE(y) + e (z_y - mean_j z_j), and the mean of the logits needs no logit: with M = sum_j W_j,
    over unit centres, sum_j z_j = s x . M. So it costs a sum of the centres, and is exact over shards and blocks. Only
    z_y carries the margin, in both terms. Where a step samples its centres, N and M are of the sampled ones.

    Args:
        share: e, in [0, 1).
    """

    def __init__(self, share: float):
        self.share = float(share)

    def __call__(
        self,
        shards: Sequence[Shard],
        features: Sequence[mx.nd.NDArray],
        group: ContextGroup,
        target: Target,
        scale: float,
    ) -> tuple[Target, float, list[MeanLogit]]:
        """What it changes in a step.

        Args:
            shards: those whose centres take part, with their norms up to date.
            features: (B, d) what the embeddings are to them, on each shard's context.
            group: their collectives.
            target: the own logits.
            scale: s.

        Returns:
            the target with what each sample's own logit adds; the rest of the term's value; each shard's part of the
            rest of its gradient.
        """
        parts = [MeanLogit(shard, x) for shard, x in zip(shards, features)]
        total, count = group.all_reduce([part.sums() for part in parts])[0].asnumpy().astype(np.float64)
        each = self.share / count
        for part in parts:
            part.factor = -each * scale / len(target.logit)
        own = self.share - each
        # The sum over all classes has the own one without its margin, which is taken off again.
        target = target._replace(
            term=target.term + own * target.logit + each * target.bare,
            term_slope=target.term_slope + own * target.slope - each * scale,
        )
        if target.by_length is not None:
            target = target._replace(term_by_length=target.term_by_length + own * target.by_length)
        return target, float(-each * scale * total / len(target.logit)), parts


class MeanLogit:
    """One shard's part of the sum of all logits, and what it adds to the gradients: the same row for each of them.

    Attributes:
        factor: of the sum in the loss.
    """

    def __init__(self, shard: Shard, features: mx.nd.NDArray):
        self._shard, self.factor = shard, 0.0
        self._centres = dot(shard.inverse_norms.reshape((1, -1)), shard.weight)
        self._features = features.sum(axis=0, keepdims=True)

    def sums(self) -> mx.nd.NDArray:
        """(2,) sum over batch and classes of the products of feature and centre; number of classes."""
        total = inner(self._features, self._centres).reshape((1,))
        return mx.nd.concat(total, mx.nd.full((1,), self._shard.weight.shape[0], self._shard.context), dim=0)

    def pull(self) -> mx.nd.NDArray:
        """(1, d) what every sample's gradient gets of this shard."""
        return self._centres * self.factor

    def add_to(self, k: int, gradient: mx.nd.NDArray) -> None:
        """See `interfaces.CentreTerm`."""
        a, b = self._shard.ranges[k]
        gradient += mx.nd.broadcast_mul(self._shard.inverse_norms[a:b], self._features * self.factor)
