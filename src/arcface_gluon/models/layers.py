"""Layers that MXNet lacks or runs slowly, named so that parameters carry the reference's flat names."""

from __future__ import annotations

from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

# Every BatchNorm of the reference network LResNetE-IR.
BN_EPSILON = 2e-5
BN_MOMENTUM = 0.9


def reference_init() -> mx.init.Initializer:
    """The reference's weight initialiser: Gaussian, variance 2 / fan-out. Other parameters bring their own.

    `net.initialize(ctx=...)` of the backbones uses it by default. Biases and betas start at 0, gammas at 1,
    PReLU slopes at 0.25. Seed it with `mx.random.seed`.
    """
    return mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2)


class PReLU(HybridBlock):
    """x where x > 0, else alpha * x, with one slope `alpha` (channels,) a channel, starting at 0.25.

    Two forms with equal values and gradients. `native` is MXNet's operator, whose backward takes nearly half of a
    training step on CPU. The other is alpha * x + (1 - alpha) * relu(x) with the two scales as depthwise 1x1
    convolutions, which oneDNN runs in its own layout. The backbones choose by the device of their input (`Backbone`).

    Shape: (B, channels, H, W) -> the same.
    """

    def __init__(self, channels: int, prefix: str | None = None):
        super().__init__(prefix=prefix)
        self._channels = channels
        self.native = True
        self.alpha = self.params.get("alpha", shape=(channels,), init=mx.init.Constant(0.25))

    def hybrid_forward(self, F: Any, x: Any, alpha: Any) -> Any:
        if self.native:
            return F.LeakyReLU(x, alpha, act_type="prelu", name="fwd")
        scale = F.reshape(alpha, shape=(-1, 1, 1, 1))
        depthwise = {"num_filter": self._channels, "num_group": self._channels, "kernel": (1, 1), "no_bias": True}
        positive = F.Activation(x, act_type="relu")  # not F.relu, which leaves oneDNN's layout: slower, more memory
        return F.Convolution(x, scale, **depthwise) + F.Convolution(positive, 1 - scale, **depthwise)


def conv(
    channels: int,
    kernel: int | tuple[int, ...],
    stride: int = 1,
    *,
    in_channels: int,
    groups: int = 1,
    use_bias: bool = False,
    padding: int | None = None,
    prefix: str,
) -> nn.Conv2D:
    """Convolution. Unless a padding is given, the kernel is square, and padded so that stride 1 keeps the size."""
    side = kernel if isinstance(kernel, int) else 0
    return nn.Conv2D(
        channels, kernel, strides=stride, padding=side // 2 if padding is None else padding, groups=groups,
        use_bias=use_bias, in_channels=in_channels, prefix=prefix,
    )  # fmt: skip


def batch_norm(channels: int, *, epsilon: float = BN_EPSILON, scale: bool = True, prefix: str) -> nn.BatchNorm:
    """BatchNorm with the reference's constants. `scale=False` holds gamma at 1 (the reference's fix_gamma)."""
    return nn.BatchNorm(epsilon=epsilon, momentum=BN_MOMENTUM, scale=scale, in_channels=channels, prefix=prefix)


class SqueezeExcitation(HybridBlock):
    """Scales channels by gates from their global averages (Hu et al., 2018), with PReLU inside as in the reference.

    Shape: (B, channels, H, W) -> the same.
    """

    def __init__(self, channels: int, reduction: int = 16, *, prefix: str):
        super().__init__(prefix=prefix)
        squeezed = max(1, channels // reduction)
        self.conv1 = conv(squeezed, 1, in_channels=channels, use_bias=True, prefix=prefix + "conv1_")
        self.relu1 = PReLU(squeezed, prefix=prefix + "relu1_")
        self.conv2 = conv(channels, 1, in_channels=squeezed, use_bias=True, prefix=prefix + "conv2_")

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        gates = F.Pooling(x, global_pool=True, pool_type="avg", kernel=(7, 7))
        gates = self.conv2(self.relu1(self.conv1(gates)))
        return F.broadcast_mul(x, F.Activation(gates, act_type="sigmoid"))
