"""What is done to the pixels of images for a symbol that does not do it by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mxnet as mx

from ..errors import UserError


@dataclass(frozen=True)
class Normalisation:
    """(x - mean) / std of RGB 0..255, in the order of channels that the network takes.

    Attributes:
        mean: one number, or three in the network's order of channels.
        std: likewise, above 0.
        bgr: whether the network takes blue, green, red.

    Raises:
        UserError: other counts of numbers, or numbers that cannot be.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False

    def __post_init__(self):
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
                raise UserError(f"--{name} takes one number, or three with commas, one for each channel")
        if not all(value > 0 for value in self.std):
            raise UserError(f"--std {','.join(map(str, self.std))}: must be above 0")

    @property
    def scales(self) -> bool:
        """Whether it does more than to reverse the channels."""
        return any(self.mean) or set(self.std) != {1.0}

    def options(self) -> list[str]:
        """The options of the command line that stand for it."""
        words = []
        if self.scales:
            words = [f"--mean={','.join(map(repr, self.mean))}", f"--std={','.join(map(repr, self.std))}"]
        return [*words, *(["--bgr"] if self.bgr else [])]

    def before(self, symbol: mx.sym.Symbol) -> mx.sym.Symbol:
        """The symbol, fed with normalised pixels: RGB 0..255 (B, 3, H, W) as its input `data`."""
        data = mx.sym.var("data")
        if not self.bgr and len(self.mean) == len(self.std) == 1:
            return symbol(data=(data - self.mean[0]) * (1 / self.std[0]))
        channels = []
        for place, source in enumerate((2, 1, 0) if self.bgr else (0, 1, 2)):
            channel = mx.sym.slice_axis(data, axis=1, begin=source, end=source + 1)
            mean, std = self.mean[place % len(self.mean)], self.std[place % len(self.std)]
            channels.append((channel - mean) * (1 / std))
        return symbol(data=mx.sym.concat(*channels, dim=1))
