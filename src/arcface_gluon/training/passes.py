"""A batch through the backbones of all devices, forward and back: whole, or in parts that fit into memory."""

from __future__ import annotations

from typing import Callable, Sequence

import mxnet as mx
from mxnet import autograd

from ..losses.interfaces import Head
from ..parallel.shards import shard_ranges
from ..parallel.turns import in_turn
from .optimizer import ReplicaSGD
from .statistics import RunningStatistics


class LeftOut(Exception):
    """A signal came within an iteration, which was left out.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class Passes:
    """Computes the gradients of a batch, on every device for its part; they are not summed over the devices.

    Args:
        network: gives (b, d) embeddings of the images of a device.
        head: gives the loss of the embeddings of all devices, and its gradients by them.
        optimizer: of the network's parameters.
        statistics: of the network.
        contexts: the devices.
        accumulate: parts that the images of a device are divided into, one of which is in memory at a time.
        seed: decides dropout, with iteration, part and device.
        first_device: number of the first device among those of all processes.
        signalled: gives the number of a signal that any process has got, or 0; asked between two parts.
    """

    def __init__(
        self,
        network: Callable[[mx.nd.NDArray], mx.nd.NDArray],
        head: Head,
        optimizer: ReplicaSGD,
        statistics: RunningStatistics,
        contexts: Sequence[mx.Context],
        accumulate: int,
        seed: int,
        first_device: int,
        signalled: Callable[[], int],
    ):
        self._network, self._head, self._optimizer, self._statistics = network, head, optimizer, statistics
        self._contexts, self._accumulate, self._seed, self._first = list(contexts), accumulate, seed, first_device
        self._signalled = signalled

    def __call__(
        self, images: Sequence[mx.nd.NDArray], labels: Sequence, iteration: int, loss_scale: float
    ) -> mx.nd.NDArray:
        """The mean loss of the global batch; its gradients are in the parameters and in the head.

        Args:
            images, labels: one array a device: (b, …), (b,).
            iteration: number of the iteration, from 0.
            loss_scale: factor of the backbone's gradients.

        Raises:
            LeftOut: after a signal between two parts; everything is as it was before.
        """
        return (self._whole if self._accumulate == 1 else self._in_parts)(images, labels, iteration, loss_scale)

    def embed(self, images: Sequence[mx.nd.NDArray], iteration: int, part: int = 0) -> list[mx.nd.NDArray]:
        """Embeddings of one part of a batch, one array a device; what dropout drops depends on the numbers alone."""
        embeddings = []
        for i, (context, x) in in_turn(enumerate(zip(self._contexts, images), self._first), self._contexts):
            # MXNet's random state cannot be saved; one that depends on the iteration alone need not be. All CPU
            # contexts share one state, so each device is seeded right before its own forward pass.
            number = self._seed * 1_000_003 + iteration * 1_009 + part * 10_007 + i
            mx.random.seed(number & 0x7FFFFFFF, ctx=context)
            embeddings.append(self._network(x))
        return embeddings

    def _whole(self, images, labels, iteration, loss_scale):
        with autograd.record():
            embeddings = self.embed(images, iteration)
        loss, gradients = self._head.forward_backward(embeddings, labels)
        self._backward(embeddings, gradients, loss_scale)
        return loss

    def _in_parts(self, images, labels, iteration, loss_scale):
        """The same for a device's images in several parts, with the activations of one part in memory at a time.

        All embeddings are computed first and the head sees the whole batch, so its loss and gradients are those of the
        undivided batch, whatever the loss. Then each part goes forward again, with the same dropout, and back.
        """
        before = {name: [a.copy() for a in arrays] for name, arrays in self._statistics.by_device().items()}
        state = self._head.state()

        def go_on():
            if number := self._signalled():
                self._statistics.put_back(before)
                self._head.load_state(state)
                raise LeftOut(number)

        ranges = [shard_ranges(len(x), min(self._accumulate, len(x))) for x in images]
        parts = [[x[a:b] for (a, b), x in zip(part, images)] for part in zip(*ranges)]
        embeddings = []
        with autograd.train_mode():
            for k, part in enumerate(parts):
                go_on()
                embeddings.append(self.embed(part, iteration, k))
        whole = [mx.nd.concat(*of_device, dim=0) for of_device in zip(*embeddings)]
        loss, gradients = self._head.forward_backward(whole, labels)
        self._optimizer.zero_gradients()
        for k, part in enumerate(parts):
            go_on()
            with autograd.record():
                again = self.embed(part, iteration, k)
            self._backward(again, [g[a:b] for g, (a, b) in zip(gradients, [r[k] for r in ranges])], loss_scale)
        return loss

    def _backward(self, embeddings, gradients, loss_scale):
        if loss_scale != 1:
            gradients = [g * loss_scale for g in gradients]
        for pair in in_turn(zip(embeddings, gradients), self._contexts):
            autograd.backward(*pair)
