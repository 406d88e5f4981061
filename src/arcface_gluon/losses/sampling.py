"""Partial FC: a step with a sample of the class centres (An et al. 2021, 2022)."""

from __future__ import annotations

import math

import mxnet as mx
import numpy as np

from .shard import Shard, class_array

nd = mx.nd


class SampledShard:
    """A shard of which ceil(rate * n) centres take part in a step: all that the batch needs, the others at random.

    Every centre that the batch does not need is as likely as any other. Those left out get no gradient, no weight decay
    and keep their momentum. More positives than ceil(rate * n) all take part, without any other.

    The step itself is that of a `Shard` of the sampled rows, which are copied there and back. Args and methods are
    `Shard`'s, and:

    Args:
        rate: share of the centres, in (0, 1).

    Attributes:
        half: as there.
        sampled: (m,) classes of the last step, ascending, counted from the shard's first.
    """

    def __init__(self, start, stop, embedding_size, context, block_rows, rate):
        self.start, self.stop, self.context = start, stop, context
        self.weight = class_array(stop - start, embedding_size, context)
        self.momentum = class_array(stop - start, embedding_size, context)
        self._block_rows = block_rows
        self._count = math.ceil(rate * (stop - start))
        self.half = False
        self._step = None

    def load(self, name, first, rows):
        """Write rows of the array `name`, from the shard's row `first` on."""
        getattr(self, name)[first : first + rows.shape[0]] = rows

    def sample(self, classes, random):
        """Choose the centres of the next step.

        Args:
            classes: those of the batch in this shard, counted from its first.
            random: numpy.random.Generator.
        """
        positives = np.unique(classes)
        order = random.random(self.stop - self.start, dtype=np.float32)
        order[positives] = -1
        count = max(self._count, len(positives))
        if count < len(order):
            order = np.argpartition(order, count)[:count]
            self.sampled = np.sort(order)
        else:
            self.sampled = np.arange(len(order))

    def forward(self, features, scale, samples, classes):
        count = len(self.sampled)
        if self._step is None or self._step.stop != count:
            self._step = None  # freed before the next is made
            self._step = Shard(0, count, self.weight.shape[1], self.context, block_rows=self._block_rows)
            self._step.half = self.half
        self._index = nd.array(self.sampled, self.context, dtype="int32")
        nd.take(self.weight, self._index, out=self._step.weight)
        self._step.changed()
        self._step.forward(features, scale, samples, np.searchsorted(self.sampled, classes))

    def sums(self):
        return self._step.sums()

    def backward(self, log_total, step, cosines, coefficients):
        return self._step.backward(log_total, step, cosines, coefficients)

    def update(self, lr, momentum, wd):
        nd.take(self.momentum, self._index, out=self._step.momentum)
        self._step.update(lr, momentum, wd)
        index, shape = self._index.reshape((1, -1)), self.weight.shape
        for whole, part in ((self.weight, self._step.weight), (self.momentum, self._step.momentum)):
            nd._internal._scatter_set_nd(whole, part, index, shape=shape, out=whole)

    def gradients(self):
        whole = np.zeros(self.weight.shape, dtype=np.float32)
        whole[self.sampled] = np.concatenate([part.asnumpy() for part in self._step.gradients()])
        yield nd.array(whole, self.context)
