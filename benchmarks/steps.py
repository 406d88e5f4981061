"""A whole training step of one CPU context, as the trainer does it: backbone, head, gradients, update of both."""

from __future__ import annotations

import time

import mxnet as mx
import numpy as np

from arcface_gluon import ShardedMarginHead, get_model
from arcface_gluon.models.training_network import training_network
from arcface_gluon.training.optimizer import ReplicaSGD

SIDE = 112


class Step:
    """A step of an arcface network of this name with a margin head, on random images; it is done when called.

    Attributes:
        parts: (name, work) in their order.
    """

    def __init__(self, name: str, batch: int, identities: int, precision: str = "float32"):
        device, random = mx.cpu(0), np.random.default_rng(0)
        mx.random.seed(0)
        net = get_model(name)
        net.initialize(ctx=device)
        net.hybridize()
        self._network = training_network(net, precision, [device])
        self._head = ShardedMarginHead(identities, 512, [device])
        self._optimizer = ReplicaSGD(net, [device], 0.9, 5e-4)
        self._images = mx.nd.array(random.integers(0, 256, (batch, 3, SIDE, SIDE), np.uint8), device, "uint8")
        self._labels = random.integers(0, identities, batch)
        self.parts = (
            ("forward", self._forward),
            ("head", self._loss),
            ("backward", self._backward),
            ("update of the backbone", lambda: self._optimizer.update(0.01)),
            ("update of the centres", lambda: self._head.update(0.01, 0.9, 5e-4)),
        )

    def __call__(self) -> None:
        for _, work in self.parts:
            work()
        mx.nd.waitall()

    def _forward(self):
        with mx.autograd.record():
            self._embeddings = [self._network(self._images)]

    def _loss(self):
        self._gradients = self._head.forward_backward(self._embeddings, [self._labels])[1]

    def _backward(self):
        mx.autograd.backward(self._embeddings, self._gradients)


def parts_of(step: Step, rounds: int = 2) -> dict[str, float]:
    """{part: seconds}, means of some steps, each part waited for."""
    taken: dict[str, list] = {name: [] for name, _ in step.parts}
    for _ in range(rounds):
        for name, work in step.parts:
            began = time.perf_counter()
            work()
            mx.nd.waitall()
            taken[name].append(time.perf_counter() - began)
    return {name: float(np.mean(seconds)) for name, seconds in taken.items()}
