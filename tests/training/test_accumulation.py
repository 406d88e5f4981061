"""A batch in parts: the same step as the undivided batch, for a network without batch statistics."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import HybridBlock, nn

from arcface_gluon.data import Batch
from arcface_gluon.losses import ShardedMarginHead
from arcface_gluon.recipe import resolve
from arcface_gluon.training.trainer import Trainer


class Plain(HybridBlock):
    """An embedding network without BatchNorm and dropout, in which every image stands alone."""

    spec = {}

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2D(4, 3, strides=4, in_channels=3)
        self.dense = nn.Dense(8, in_units=4 * 3 * 3)

    def hybrid_forward(self, F, x):
        return self.dense(F.relu(self.convolution(F.cast(x, dtype="float32") / 127.5 - 1)))


def train(accumulate, folder, contexts=2, batch=12):
    settings = resolve("orl", [f"train.accumulate={accumulate}", "train.lr=0.1"]).train
    devices = [mx.cpu(i) for i in range(contexts)]
    mx.random.seed(3)
    net = Plain()
    net.initialize(mx.init.Xavier(), ctx=devices)
    net.hybridize()
    head = ShardedMarginHead(5, 8, devices, scale=8.0)
    trainer = Trainer(net, head, None, devices, settings, 0, folder, quiet=True)
    random = np.random.default_rng(0)
    losses = []
    for iteration in range(3):
        images = random.integers(0, 256, (batch, 3, 12, 12), np.uint8)
        labels = random.integers(0, 5, batch).astype(np.int32)
        losses.append(trainer._step(Batch(images, labels, iteration, 0.0), 0.1)[0])
        trainer.iteration += 1
    weights = np.concatenate([p.data(devices[0]).asnumpy().ravel() for p in net.collect_params().values()])
    return np.array(losses), weights, head.centres()


@pytest.mark.parametrize("accumulate", [2, 3, 4, 100])
def test_parts_make_the_step_of_the_whole_batch(accumulate, tmp_path):
    for got, expected in zip(train(accumulate, tmp_path), train(1, tmp_path)):
        # Sums round in another order, by the size of what is added: by the largest number, not by each.
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_the_steps_do_something(tmp_path):
    losses, weights, centres = train(2, tmp_path)
    assert len(set(losses)) == 3 and np.abs(weights).max() > 0 and np.abs(centres).max() > 0.01
