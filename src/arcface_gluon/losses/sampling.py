"""Partial FC: a step with a sample of the class centres (An et al. 2021, 2022)."""

from __future__ import annotations

import math
from typing import Any

import mxnet as mx
import numpy as np

from ..parallel.operators import set_rows
from .interfaces import SGD, Modulation
from .shard import Shard, class_array
from .shard_step import CentreGradient, Own

nd = mx.nd


class SampledShard:
    """A shard of which ceil(rate * n) centres take part in a step: all that the batch needs, the others at random.

    Every centre that the batch does not need is as likely as any other. Those left out get no gradient, no weight decay
    and keep their momentum. More positives than ceil(rate * n) all take part, without any other.

    The step itself is that of a `Shard` of the sampled rows, which are copied there and back. Args and methods are
    `Shard`'s, and:

    Args:
        rate: share of the centres, in (0, 1).
        part: the kind of `Shard` that a step's rows make up.

    Attributes:
        sampled: (m,) classes of the last step, ascending, counted from the shard's first.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        embedding_size: int,
        context: mx.Context,
        rate: float,
        part: type[Shard] = Shard,
        rows_per_class: int = 1,
        **options: Any,
    ):
        self.start, self.stop, self.context, self.rows_per_class = start, stop, context, rows_per_class
        self.weight = class_array((stop - start) * rows_per_class, embedding_size, context)
        self.momentum = class_array((stop - start) * rows_per_class, embedding_size, context)
        self.sampled = np.arange(0)
        self._kind, self._options = part, {"rows_per_class": rows_per_class, **options}
        self._count = math.ceil(rate * (stop - start))
        self._part: Any = None  # a Shard of as many rows as the last sample
        self._rows = np.arange(0)  # of `sampled`, in the shard's arrays
        self._index: mx.nd.NDArray | None = None

    def load(self, name: str, first: int, rows: np.ndarray | mx.nd.NDArray) -> None:
        """Write rows of the array `name`, from the shard's row `first` on."""
        array, columns = self._kind.place(name, self.weight, self.momentum)
        array[first : first + rows.shape[0], columns] = rows

    def sample(self, classes: np.ndarray, random: np.random.Generator) -> None:
        """Choose the centres of the next step.

        Args:
            classes: those of the batch in this shard, counted from its first.
        """
        positives = np.unique(classes)
        order = random.random(self.stop - self.start, dtype=np.float32)
        order[positives] = -1
        count = max(self._count, len(positives))
        if count < len(order):
            self.sampled = np.sort(np.argpartition(order, count)[:count])
        else:
            self.sampled = np.arange(len(order))

    def pick(self, features: mx.nd.NDArray, samples: np.ndarray, classes: np.ndarray) -> Own:
        """See `Shard.pick`; of the centres that `sample` chose."""
        count = len(self.sampled)
        if self._part is None or self._part.stop != count:
            self._part = None  # freed before the next is made
            self._part = self._kind(0, count, self.weight.shape[1], self.context, **self._options)
        self._rows = (self.sampled[:, None] * self.rows_per_class + np.arange(self.rows_per_class)).reshape(-1)
        self._index = nd.array(self._rows, self.context, dtype="int32")
        nd.take(self.weight, self._index, out=self._part.weight)
        self._part.changed()
        return self._part.pick(features, samples, np.searchsorted(self.sampled, classes))

    def forward(
        self, features: mx.nd.NDArray, scale: float, own: Own, modulate: Modulation | None = None
    ) -> _SampledForward:
        """See `Shard.forward`."""
        return _SampledForward(self, self._part.forward(features, scale, own, modulate))

    def gradient_of(self, gradient: CentreGradient) -> np.ndarray:
        """(n, d) NumPy: the gradient of the sampled rows in their places, zeros in the others."""
        whole = np.zeros(self.weight.shape, dtype=np.float32)
        whole[self._rows] = np.concatenate([part.asnumpy() for part in gradient.blocks()])
        return whole

    def update_by(self, gradient: CentreGradient, rule: SGD) -> None:
        """SGD on the sampled rows."""
        nd.take(self.momentum, self._index, out=self._part.momentum)
        gradient.apply(rule)
        for whole, part in ((self.weight, self._part.weight), (self.momentum, self._part.momentum)):
            set_rows(whole, self._index, part)


class _SampledForward:
    """`shard_step.Forward` of the sampled rows, whose gradient goes to the rows they are copies of."""

    def __init__(self, shard, forward):
        self._shard, self._forward, self.own = shard, forward, forward.own

    @property
    def log_sums(self):
        return self._forward.log_sums

    @property
    def largest(self):
        return self._forward.largest

    def backward(self, *args, **options):
        pull, gradient = self._forward.backward(*args, **options)
        return pull, _SampledGradient(self._shard, gradient)


class _SampledGradient:
    """`shard_step.CentreGradient` by all rows."""

    def __init__(self, shard, gradient):
        self._shard, self._gradient = shard, gradient

    def blocks(self):
        yield nd.array(self._shard.gradient_of(self._gradient), self._shard.context)

    def square(self):
        return self._gradient.square()

    def apply(self, rule):
        self._shard.update_by(self._gradient, rule)
