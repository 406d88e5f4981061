"""What is done to the pixels of images: by our networks, and for a symbol that does not do it by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Sequence

import mxnet as mx

from ..errors import UserError

# In the paper: (x - 127.5) * 0.0078125 of RGB 0..255, exact in float16 as well.
PIXEL_MEAN = 127.5
INPUT_SCALE = 0.0078125


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
        scale = tuple(1 / value for value in self.std)
        return symbol(data=normalised(mx.sym, mx.sym.var("data"), self.mean, scale, self.bgr))


def numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    """A number, or three of the channels, as a tuple: of one where all are the same."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return values[:1] if len(set(values)) == 1 else values


def normalised(F: Any, x: Any, mean: float | Sequence[float], scale: float | Sequence[float], bgr: bool = False) -> Any:
    """(x - mean) * scale of pixels (B, 3, H, W), RGB; an operation that changes nothing is left out.

    Args:
        F: mx.nd or mx.sym.
        mean, scale: a number, or three in the order of the result's channels.
        bgr: give blue, green, red.
    """
    mean, scale = numbers(mean), numbers(scale)
    if not bgr and len(mean) == len(scale) == 1:
        return _line(x, mean[0], scale[0])
    order = (2, 1, 0) if bgr else (0, 1, 2)
    channels = [F.slice_axis(x, axis=1, begin=source, end=source + 1) for source in order]
    if len(mean) == len(scale) == 1:
        return _line(F.concat(*channels, dim=1), mean[0], scale[0])
    lines = [_line(one, mean[i % len(mean)], scale[i % len(scale)]) for i, one in enumerate(channels)]
    return F.concat(*lines, dim=1)


def _line(x, mean, scale):
    x = x - mean if mean else x
    return x * scale if scale != 1 else x
