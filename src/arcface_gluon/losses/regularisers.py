"""Intra-Loss (Eq. 5) and Inter-Loss (Eq. 6): terms that are added to the softmax of a sharded head.

Shapes: B batch over all devices, d embedding size, n all classes, c classes of a block, T classes of the batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Sequence

import mxnet as mx
import numpy as np

from ..parallel.operators import set_rows
from ..parallel.products import dot, inner
from .interfaces import SMALLEST_SINE

if TYPE_CHECKING:
    from ..parallel.collectives import ContextGroup
    from .shard import Shard

nd = mx.nd


class Intra:
    """Second term of Eq. 5: weight / (pi B) * sum_i theta_{y_i}, the mean angle to the own centre as a share of pi.

    Args:
        weight: factor; 1 is the paper's.
    """

    def __init__(self, weight: float = 1.0):
        self.weight = float(weight)

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each sample's term and its derivative by theta (radians), arrays of theta's shape."""
        return self.weight / math.pi * theta, np.full_like(theta, self.weight / math.pi)


class Inter:
    """Second term of Eq. 6: -weight / (pi B (n-1)) * sum_i sum_{j != y_i} arccos(w_{y_i} . w_j), w = W / |W|.

    Exact, over all other centres, without an n x n matrix: the T distinct centres of the batch go to every shard, which
    meets them with its own classes in blocks. Its gradient is

        dL/dw_j     = sum_u C_uj w_u    with C_uj = weight count_u / (pi B (n-1) sin(theta_uj)), C_uu = 0,
        dL/dw_{y_i} = sum_j C_uj w_j    (u = y_i), both times (I - w w') / |W|.

    Args:
        weight: factor; 1 is the paper's.
    """

    def __init__(self, weight: float = 1.0):
        self.weight = float(weight)

    def __call__(
        self, shards: Sequence[Shard], group: ContextGroup, labels: np.ndarray, num_classes: int
    ) -> tuple[float, list]:
        """The term's value for a batch, and each shard's part of the gradient, `BlockwiseAngles`; none of one class.

        Args:
            shards: the head's shards, each with its centres up to date.
            group: their collectives; `all_reduce` sums an array over all shards.
            labels: (B,) int64 NumPy, of the whole batch.
            num_classes: n. With one class there is no other and the term is 0.
        """
        if num_classes < 2:
            return 0.0, []
        classes, counts = np.unique(labels, return_counts=True)
        factors = self.weight / (math.pi * len(labels) * (num_classes - 1)) * counts
        parts = [BlockwiseAngles(shard, classes, factors) for shard in shards]
        targets = group.all_reduce([part.own_targets() for part in parts])
        sums, pulls = zip(*[part.forward(target) for part, target in zip(parts, targets)])
        for part, pull in zip(parts, group.all_reduce(pulls)):
            part.receive(pull)
        total = group.all_reduce(sums)[0].asnumpy()[:, 0].astype(np.float64)
        return -float(total @ factors), parts


class BlockwiseAngles:
    """One shard's angles to the centres of the batch, and what they add to its gradient, block by block.

    The shard's centres must not change until the gradient is made.
    """

    def __init__(self, shard: Shard, classes: np.ndarray, factors: np.ndarray):
        self._shard, self._factors = shard, nd.array(factors.reshape(-1, 1), shard.context, dtype="float32")
        here = (classes >= shard.start) & (classes < shard.stop)
        self._size = len(classes)
        self._places, self._rows = np.flatnonzero(here), classes[here] - shard.start

    def own_targets(self) -> mx.nd.NDArray:
        """(T, d): the batch's unit centres that lie on this shard, zeros in the places of the others."""
        shard = self._shard
        placed = nd.zeros((self._size, shard.weight.shape[1]), shard.context)
        if len(self._rows):
            rows = self._index(self._rows)
            units = nd.take(shard.weight, rows) * nd.take(shard.inverse_norms, rows)
            set_rows(placed, self._index(self._places), units)
        return placed

    def forward(self, targets: mx.nd.NDArray) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """(T, 1) sum of the angles to this shard's other classes; (T, d) their pull on the batch's unit centres."""
        shard, self._targets, self._coefficients = self._shard, targets, []
        total, pull = nd.zeros((self._size, 1), shard.context), nd.zeros_like(targets)
        for a, b in shard.ranges:
            inverse = shard.inverse_norms[a:b].reshape((1, b - a))
            cosine = nd.clip(nd.broadcast_mul(inner(targets, shard.weight[a:b]), inverse), -1, 1)
            others = self._others(a, b)
            angles = nd.arccos(cosine)
            total = total + nd.sum(angles * others, axis=1, keepdims=True)
            sine = nd.maximum(nd.sqrt(1 - nd.square(cosine)), SMALLEST_SINE)
            # By the centre itself, not its unit vector: the inverse norm is in it for both products.
            scaled = nd.broadcast_mul(nd.broadcast_mul(others / sine, self._factors), inverse)
            pull = pull + dot(scaled, shard.weight[a:b])
            self._coefficients.append(scaled)
        return total, pull

    def receive(self, pull: mx.nd.NDArray) -> None:
        """Keep the rows of the summed pull (T, d) whose centres lie here."""
        if len(self._rows):
            pull = nd.take(pull, self._index(self._places))
            self._own = pull * nd.take(self._shard.inverse_norms, self._index(self._rows))

    def add_to(self, k: int, gradient: mx.nd.NDArray) -> None:
        """See `interfaces.CentreTerm`."""
        a, b = self._shard.ranges[k]
        gradient += dot(self._coefficients[k], self._targets, transpose_a=True)
        first, last = np.searchsorted(self._rows, [a, b])
        if last > first:
            rows = self._index(self._rows[first:last] - a)
            set_rows(gradient, rows, nd.take(gradient, rows) + self._own[first:last])

    def _others(self, a, b):
        # (T, c): 0 where the class is the target itself, else 1.
        others = np.ones((self._size, b - a), np.float32)
        inside = (self._rows >= a) & (self._rows < b)
        others[self._places[inside], self._rows[inside] - a] = 0
        return nd.array(others, self._shard.context)

    def _index(self, rows):
        return nd.array(rows, self._shard.context, dtype="int32")
