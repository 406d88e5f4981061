"""MobileFaceNet (Chen et al., 2018) as the paper's MXNet code builds it: inverted residual units, GDC output.

Children carry that code's names, as in `iresnet`.
"""

from __future__ import annotations

from typing import Any, Sequence

from mxnet.gluon import HybridBlock, nn

from ..recipe.option import Option
from .backbone import Backbone, sides
from .layers import PReLU, batch_norm, conv
from .network_options import FOUR_COUNTS, INPUT_SIZE, PIXELS, must_be

# The reference leaves MXNet's default in all but the last BatchNorm.
EPSILON = 1e-3

# (name, channels out, groups of the strided unit, groups of the following units) of the three stages.
_STAGES = ((3, 64, 128, 128), (4, 128, 256, 256), (5, 128, 512, 256))


class ConvUnit(HybridBlock):
    """Convolution, BatchNorm and, unless `linear`, PReLU. Shape: (B, in_channels, H, W) -> (B, channels, H', W')."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int | tuple[int, ...],
        stride: int = 1,
        *,
        groups: int = 1,
        linear: bool = False,
        padding: int | None = None,
        prefix: str,
    ):
        super().__init__(prefix=prefix)
        self.conv2d = conv(
            channels, kernel, stride, in_channels=in_channels, groups=groups, padding=padding,
            prefix=prefix + "conv2d_",
        )  # fmt: skip
        self.batchnorm = batch_norm(channels, epsilon=EPSILON, prefix=prefix + "batchnorm_")
        self.relu = None if linear else PReLU(channels, prefix=prefix + "relu_")

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        x = self.batchnorm(self.conv2d(x))
        return x if self.relu is None else self.relu(x)


class Bottleneck(HybridBlock):
    """1x1 expansion to `groups` channels, depthwise 3x3, linear 1x1 projection; with `residual`, plus its input.

    Shape: (B, in_channels, H, W) -> (B, channels, ceil(H/stride), ceil(W/stride)).
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, groups: int, *, residual: bool, kernel: int = 3, prefix: str
    ):
        super().__init__(prefix=prefix)
        self._residual = residual
        self.conv_sep = ConvUnit(in_channels, groups, 1, prefix=prefix + "conv_sep_")
        self.conv_dw = ConvUnit(groups, groups, kernel, stride, groups=groups, padding=1, prefix=prefix + "conv_dw_")
        self.conv_proj = ConvUnit(groups, channels, 1, linear=True, prefix=prefix + "conv_proj_")

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        y = self.conv_proj(self.conv_dw(self.conv_sep(x)))
        return y + x if self._residual else y


def _residuals(name, channels, groups, count):
    block = nn.HybridSequential(prefix=f"{name}_")
    for i in range(count):
        unit = Bottleneck(channels, channels, 1, groups, residual=True, prefix=f"{name}_block{i}_")
        block.register_child(unit, f"block{i}")
    return block


class MobileFaceNet(Backbone):
    """MobileFaceNet over (B, 3, height, width) images; see `Backbone` for input and output.

    Args:
        spec: what `get_model` was asked for.
        embedding_size: d of the output (B, d).
        blocks: units at 56, 28, 14 and 7 pixels. (1, 4, 6, 2) is the original; a first count of 1 is one depthwise
            convolution. (2, 8, 16, 4) is the larger one of the reference's model zoo.
        input_size: side of the input images in pixels, or (height, width).
        strided_kernel: side of the kernels at stride 2. With 4, whose first row and column are 0, they see what
            TensorFlow's 3x3 kernels see, which pad an even side by one pixel at its end.
        pixels: input_scale, input_mean and bgr of `Backbone`.
    """

    OPTIONS = {
        "blocks": Option((1, 4, 6, 2), "units at 56, 28, 14 and 7 pixels", FOUR_COUNTS),
        "input_size": INPUT_SIZE,
        "strided_kernel": Option(3, "side of the kernels at stride 2", must_be("3 or 4", lambda v: v in (3, 4))),
        **PIXELS,
    }

    def __init__(
        self,
        spec: dict,
        embedding_size: int = 512,
        blocks: Sequence[int] = (1, 4, 6, 2),
        input_size: int | Sequence[int] = 112,
        strided_kernel: int = 3,
        **pixels: Any,
    ):
        super().__init__(spec, **pixels)
        self.conv_1 = ConvUnit(3, 64, strided_kernel, 2, padding=1, prefix="conv_1_")
        if blocks[0] == 1:
            self.conv_2_dw = ConvUnit(64, 64, 3, groups=64, prefix="conv_2_dw_")
        else:
            self.res_2 = _residuals("res_2", 64, 64, blocks[0])
        channels = 64
        for (index, out, strided, following), count in zip(_STAGES, blocks[1:]):
            name = f"dconv_{index - 1}{index}"
            setattr(
                self,
                name,
                Bottleneck(channels, out, 2, strided, residual=False, kernel=strided_kernel, prefix=f"{name}_"),
            )
            setattr(self, f"res_{index}", _residuals(f"res_{index}", out, following, count))
            channels = out
        self.conv_6sep = ConvUnit(channels, 512, 1, prefix="conv_6sep_")
        # Global depthwise convolution: a learnt weight for each of the 7x7 places (of 112x112 images) of each channel.
        places = tuple(-(-side // 16) for side in sides(input_size))
        self.conv_6dw7_7 = ConvUnit(512, 512, places, groups=512, linear=True, padding=0, prefix="conv_6dw7_7_")
        self.pre_fc1 = nn.Dense(embedding_size, in_units=512, prefix="pre_fc1_")
        self.fc1 = batch_norm(embedding_size, scale=False, prefix="fc1_")

    def features(self, F: Any, x: Any) -> Any:
        for name, child in self._children.items():
            # The last BatchNorm sees float32 in every precision: its output is the embedding.
            x = child(F.cast(x, dtype="float32") if name == "fc1" else x)
        return x
