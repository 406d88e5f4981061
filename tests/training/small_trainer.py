"""A trainer that takes milliseconds a step: a small network, and batches that need no files."""

import json

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from arcface_gluon.data import Batch
from arcface_gluon.losses import ShardedMarginHead
from arcface_gluon.recipe import resolve
from arcface_gluon.run_layout import checkpoint_folders
from arcface_gluon.training.trainer import Trainer

CLASSES, SIZE = 5, 8


class Small(HybridBlock):
    """Pixels → embedding, with dropout and batch statistics as the real networks have."""

    spec = {"name": "small"}

    def __init__(self, dropout):
        super().__init__()
        self.first = nn.Dense(16, in_units=4 * 4 * 3)
        self.norm = nn.BatchNorm(in_channels=16)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Dense(SIZE, in_units=16)

    def hybrid_forward(self, F, x):
        return self.last(self.drop(F.relu(self.norm(self.first(F.cast(x, dtype="float32") / 127.5 - 1)))))


class Stream:
    """Batches that depend on the iteration alone."""

    def iterate(self, start):
        for iteration in range(start, 10_000):
            random = np.random.default_rng(iteration)
            images = random.integers(0, 256, (12, 3, 4, 4), np.uint8)
            yield Batch(images, random.integers(0, CLASSES, 12).astype(np.int32), iteration, iteration / 10)


def trainer(folder, *settings, validate=None, dropout=0.5, contexts=2):
    base = ["train.iterations=6", "train.lr=0.1", "train.lr_steps=[]", "train.log_every=1", "train.keep=9"]
    values = resolve("orl", [*base, "train.validate_every=100", "train.checkpoint_every=100", *settings]).train
    devices = [mx.cpu(i) for i in range(contexts)]
    mx.random.seed(3)
    net = Small(dropout)
    net.initialize(mx.init.Xavier(), ctx=devices)
    head = ShardedMarginHead(CLASSES, SIZE, devices, scale=8.0)
    return Trainer(net, head, Stream(), devices, values, 0, folder, validate, quiet=True)


def saved(folder):
    return [int(path.name) for path in checkpoint_folders(folder)]


def metrics(folder, key):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["iteration"] for line in lines if key in line]
