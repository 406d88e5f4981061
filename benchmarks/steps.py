"""A whole training step of one CPU context, as the trainer does it: backbone, head, gradients, update of both."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from arcface_gluon import ShardedMarginHead, get_model
from arcface_gluon.models.training_network import training_network
from arcface_gluon.training.optimizer import ReplicaSGD

from .floors import Work

SIDE = 112


def whole_step(name: str, batch: int, identities: int, precision: str = "float32") -> Work:
    """A step of an arcface network of this name with a margin head, on random images."""
    device, random = mx.cpu(0), np.random.default_rng(0)
    mx.random.seed(0)
    net = get_model(name)
    net.initialize(ctx=device)
    net.hybridize()
    network = training_network(net, precision, [device])
    head = ShardedMarginHead(identities, 512, [device])
    optimizer = ReplicaSGD(net, [device], 0.9, 5e-4)
    images = mx.nd.array(random.integers(0, 256, (batch, 3, SIDE, SIDE), np.uint8), device, "uint8")
    labels = random.integers(0, identities, batch)

    def step():
        with mx.autograd.record():
            embeddings = [network(images)]
        mx.autograd.backward(embeddings, head.forward_backward(embeddings, [labels])[1])
        optimizer.update(0.01)
        head.update(0.01, 0.9, 5e-4)
        mx.nd.waitall()

    return step
