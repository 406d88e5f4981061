"""Random networks of the operators that are folded, and of others beside them, with negative and absent channels."""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path

import mxnet as mx
import numpy as np

from arcface_gluon.models.exported import SymbolNetwork

sym = mx.sym
CHANNELS, SIDE = 8, 12


class _Drawing:
    """Draws a network, step by step: each reads a value that is there and makes another of the same shape."""

    def __init__(self, seed):
        self.draw, self.numbers = random.Random(seed), count()
        self.steps = [self.conv, self.norm, self.norm, self.prelu, self.relu, self.total, self.total, self.residual]
        self.steps += [self.residual, self.scaled, self.gated, self.halves, self.other]
        self.values = [self.conv((sym.var("data") - 127.5) * 0.0078125, groups=1)]

    def network(self):
        for _ in range(self.draw.randint(2, 12)):
            value = self.values[-1] if self.draw.random() < 0.75 else self.any()
            self.values.append(self.draw.choice(self.steps)(value))
        return self.end(self.values[-1])

    def any(self):
        return self.draw.choice(self.values)

    def name(self, kind):
        return f"{kind}{next(self.numbers)}"

    def conv(self, x, side=None, groups=None):
        side = side or self.draw.choice([1, 3, 3])
        return sym.Convolution(
            x, num_filter=CHANNELS, kernel=(side, side), pad=(side // 2, side // 2), name=self.name("conv"),
            no_bias=self.draw.random() < 0.5, num_group=groups or self.draw.choice([1, 1, 2, CHANNELS]),
        )  # fmt: skip

    def norm(self, x):
        epsilon, fixed = self.draw.choice([1e-3, 2e-5, 1e-5, 0.1]), self.draw.random() < 0.3
        return sym.BatchNorm(x, eps=epsilon, fix_gamma=fixed, name=self.name("norm"))

    def prelu(self, x):
        name = self.name("relu")
        slope = {"gamma": sym.var(f"{name}_gamma", shape=(1,))} if self.draw.random() < 0.2 else {}
        return sym.LeakyReLU(x, act_type="prelu", name=name, **slope)

    def relu(self, x):
        return sym.Activation(x, act_type=self.draw.choice(["relu", "relu", "tanh"]), name=self.name("relu"))

    def total(self, x):
        return sym.elemwise_add(x, self.any(), name=self.name("plus"))

    def residual(self, x):
        other = self.any()
        y = self.conv(self.norm(x) if self.draw.random() < 0.5 else x)
        y = self.norm(y) if self.draw.random() < 0.5 else y
        return sym.elemwise_add(*((y, other) if self.draw.random() < 0.5 else (other, y)), name=self.name("plus"))

    def scaled(self, x):
        return x * self.draw.choice([-0.5, 2, 1]) if self.draw.random() < 0.7 else x + 0.3

    def gated(self, x):
        y = sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg", name=self.name("pool"))
        y = sym.Activation(self.conv(y, 1, 1), act_type="sigmoid", name=self.name("gate"))
        return sym.broadcast_mul(x, y, name=self.name("gated"))

    def halves(self, x):
        first, second = sym.SliceChannel(x, num_outputs=2, name=self.name("halves"))
        return sym.Concat(second, first, name=self.name("both"))

    def other(self, x):
        kind = self.draw.choice(["leaky", "max", "avg", "concat", "pad"])
        if kind == "leaky":
            return sym.LeakyReLU(x, act_type="leaky", slope=0.1, name=self.name("relu"))
        if kind == "concat":
            return self.conv(sym.Concat(x, self.any(), name=self.name("both")))
        if kind == "pad":
            padded = sym.pad(x, mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 1, 1), name=self.name("pad"))
            return sym.slice_axis(
                sym.slice_axis(self.conv(padded, 1), axis=2, begin=2, end=None), axis=3, begin=0, end=SIDE
            )
        return sym.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type=kind, name=self.name("pool"))

    def end(self, x):
        if self.draw.random() < 0.2:
            return sym.Flatten(x, name="flat")
        x = self.norm(x) if self.draw.random() < 0.5 else x
        x = sym.FullyConnected(sym.Dropout(x, p=0.4), num_hidden=CHANNELS, name="pre_fc1")
        return sym.BatchNorm(x, eps=2e-5, fix_gamma=True, name="fc1") if self.draw.random() < 0.6 else x


def with_parameters(symbol: sym.Symbol, seed: int = 0, size=(SIDE, SIDE)) -> SymbolNetwork:
    """A symbol as a network, with channels that are negative, nearly off and off; hybridised."""
    arguments, _, auxiliary = symbol.infer_shape(data=(1, 3, *size))
    names, draw = symbol.list_arguments() + symbol.list_auxiliary_states(), np.random.default_rng(seed)
    shapes = {name: shape for name, shape in zip(names, arguments + auxiliary) if name != "data"}
    values = {name: _value(draw, name, shape).astype(np.float32) for name, shape in shapes.items()}
    net = SymbolNetwork(symbol, values, Path("random"), [mx.cpu()])
    net.input_size = size
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def _value(draw, name, shape):
    if name.endswith("weight"):
        return draw.normal(0, np.prod(shape[1:]) ** -0.5, shape)
    if "relu" in name:
        return draw.uniform(-0.1, 0.5, shape)
    if name.endswith("gamma"):
        off = draw.choice([1, 1, 1, 1, 1e-3, 1e-9, 0], shape) if draw.random() < 0.3 else 1
        return draw.uniform(0.5, 1.5, shape) * draw.choice([1, 1, -1], shape) * off
    return draw.uniform(0.3, 1.5, shape) if name.endswith("var") else draw.uniform(-0.5, 0.5, shape)


def random_network(seed: int) -> SymbolNetwork:
    """A random network of images of `SIDE` pixels."""
    return with_parameters(_Drawing(seed).network(), seed)
