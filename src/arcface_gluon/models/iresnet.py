"""IResNet, the paper's backbone (LResNetE-IR): improved residual units, PReLU, 112x112 input, output E.

Children carry the reference's names, so that the path of a parameter, dots replaced by underscores, is its flat name
in published checkpoints: `stage1.unit1.bn1.gamma` is `stage1_unit1_bn1_gamma`. See `load.reference_name`.
"""

from __future__ import annotations

from typing import Any, Sequence

from mxnet.gluon import HybridBlock, nn

from ..recipe.option import Option
from .backbone import Backbone, sides
from .layers import BN_EPSILON, PReLU, SqueezeExcitation, batch_norm, conv
from .network_options import FLAG, FOUR_COUNTS, INPUT_SIZE, PIXELS, between, is_number, must_be

# Units of the stages by the depth that the paper's code calls them: those of the paper, and its others.
UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
OTHER_UNITS = {
    74: (3, 6, 24, 3),
    90: (3, 8, 30, 3),
    98: (3, 4, 38, 3),
    99: (3, 8, 35, 3),
    101: (3, 4, 23, 3),
    124: (3, 13, 40, 5),
    134: (3, 10, 50, 3),
    136: (3, 13, 48, 3),
    140: (3, 15, 48, 3),
    160: (3, 24, 49, 3),
    269: (3, 30, 48, 8),
}
CHANNELS = (64, 64, 128, 256, 512)  # the first convolution, then the four stages

# The reference's output heads: (BatchNorm before, dropout, BatchNorm after) around the fully connected layer.
OUTPUTS = {
    "E": (True, True, True),
    "F": (True, True, False),
    "G": (True, False, False),
    "H": (False, False, False),
    "I": (True, False, True),
    "J": (False, False, True),
}


class ResidualUnit(HybridBlock):
    """Unit v3 ("improved residual unit", paper 3.1): BN-conv-BN-PReLU-conv-BN, stride in the second convolution.

    Nothing follows the addition. `project` puts a strided 1x1 convolution and BatchNorm in the shortcut.
    Shape: (B, in_channels, H, W) -> (B, channels, ceil(H/stride), ceil(W/stride)).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        *,
        project: bool,
        se: bool,
        epsilon: float = BN_EPSILON,
        prefix: str,
    ):
        super().__init__(prefix=prefix)
        self.bn1 = batch_norm(in_channels, epsilon=epsilon, prefix=prefix + "bn1_")
        self.conv1 = conv(channels, 3, in_channels=in_channels, prefix=prefix + "conv1_")
        self.bn2 = batch_norm(channels, epsilon=epsilon, prefix=prefix + "bn2_")
        self.relu1 = PReLU(channels, prefix=prefix + "relu1_")
        self.conv2 = conv(channels, 3, stride, in_channels=channels, prefix=prefix + "conv2_")
        self.bn3 = batch_norm(channels, epsilon=epsilon, prefix=prefix + "bn3_")
        self.se = SqueezeExcitation(channels, prefix=prefix + "se_") if se else None
        self.conv1sc: Any = None
        self.sc: Any = None
        if project:
            self.conv1sc = conv(channels, 1, stride, in_channels=in_channels, prefix=prefix + "conv1sc_")
            self.sc = batch_norm(channels, epsilon=epsilon, prefix=prefix + "sc_")

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        y = self.relu1(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        if self.se is not None:
            y = self.se(y)
        return y + (x if self.sc is None else self.sc(self.conv1sc(x)))


def stage(index: int, units: int, in_channels: int, channels: int, se: bool, epsilon: float) -> nn.HybridSequential:
    """Units of one stage: the first halves the map and projects its shortcut, the others keep everything."""
    block = nn.HybridSequential(prefix=f"stage{index}_")
    for u in range(1, units + 1):
        first = u == 1
        unit = ResidualUnit(
            in_channels if first else channels, channels, 2 if first else 1,
            project=first, se=se, epsilon=epsilon, prefix=f"stage{index}_unit{u}_",
        )  # fmt: skip
        block.register_child(unit, f"unit{u}")
    return block


class IResNet(Backbone):
    """IResNet over (B, 3, height, width) images; see `Backbone` for input and output.

    Args:
        spec: what `get_model` was asked for.
        units: residual units in each of the four stages.
        embedding_size: d of the output (B, d).
        width: multiplies all channel counts, rounded to multiples of 8 (at least 8).
        se: squeeze-and-excitation after the third BatchNorm of every unit.
        output: letter of the head, a key of `OUTPUTS`; E is the paper's: BN-Dropout-FC-BN, last gamma fixed at 1.
        dropout: probability of dropping, in heads E and F.
        input_size: side of the input images in pixels, or (height, width).
        stem_stride: stride of the first convolution: 1 in the paper; 2 quarters the work, for small sets on a CPU.
        epsilon: of every BatchNorm; arcface_torch's is 1e-5.
        pixels: input_scale, input_mean and bgr of `Backbone`; arcface_torch's scale is 1 / 127.5.
    """

    OPTIONS = {
        "units": Option((3, 4, 14, 3), "residual units in each of the four stages", FOUR_COUNTS),
        "width": Option(
            1.0, "multiplies all channel counts", must_be("above 0, up to 16", lambda v: is_number(v) and 0 < v <= 16)
        ),
        "se": Option(False, "squeeze-and-excitation in every unit", FLAG),
        "output": Option("E", "head", must_be("one of " + ", ".join(OUTPUTS), lambda v: v in tuple(OUTPUTS))),
        "dropout": Option(0.4, "heads E and F", must_be("in [0, 1)", lambda v: is_number(v) and 0 <= v < 1)),
        "input_size": INPUT_SIZE,
        "stem_stride": Option(1, "stride of the first convolution", must_be("1 or 2", lambda v: v in (1, 2))),
        "epsilon": Option(BN_EPSILON, "of every BatchNorm", between(1e-7, 0.1)),
        **PIXELS,
    }

    def __init__(
        self,
        spec: dict,
        units: Sequence[int],
        embedding_size: int = 512,
        width: float = 1.0,
        se: bool = False,
        output: str = "E",
        dropout: float = 0.4,
        input_size: int | Sequence[int] = 112,
        stem_stride: int = 1,
        epsilon: float = BN_EPSILON,
        **pixels: Any,
    ):
        super().__init__(spec, **pixels)
        channels = [max(8, int(c * width / 8 + 0.5) * 8) for c in CHANNELS]
        self.conv0 = conv(channels[0], 3, stem_stride, in_channels=3, prefix="conv0_")
        self.bn0 = batch_norm(channels[0], epsilon=epsilon, prefix="bn0_")
        self.relu0 = PReLU(channels[0], prefix="relu0_")
        rows, columns = ((side - 1) // stem_stride + 1 for side in sides(input_size))
        for s, count in enumerate(units, start=1):
            setattr(self, f"stage{s}", stage(s, count, channels[s - 1], channels[s], se, epsilon))
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        before, drop, after = OUTPUTS[output]
        self.bn1 = batch_norm(channels[-1], epsilon=epsilon, prefix="bn1_") if before else None
        self.dropout = nn.Dropout(dropout, prefix="dropout_") if drop and dropout else None
        in_units = channels[-1] * rows * columns
        fc = nn.Dense(embedding_size, in_units=in_units, prefix="pre_fc1_" if after else "fc1_")
        if after:
            self.pre_fc1, self.fc1 = fc, batch_norm(embedding_size, epsilon=epsilon, scale=False, prefix="fc1_")
        else:
            self.pre_fc1, self.fc1 = None, fc

    def features(self, F: Any, x: Any) -> Any:
        x = self.relu0(self.bn0(self.conv0(x)))  # (B, 64, 112, 112), sides as in the paper
        x = self.stage1(x)  # (B, 64, 56, 56)
        x = self.stage2(x)  # (B, 128, 28, 28)
        x = self.stage3(x)  # (B, 256, 14, 14)
        x = self.stage4(x)  # (B, 512, 7, 7)
        if self.bn1 is not None:
            x = self.bn1(x)
        if self.dropout is not None:
            x = self.dropout(x)
        if self.pre_fc1 is None:
            return F.cast(self.fc1(x), dtype="float32")
        # The last BatchNorm sees float32 in every precision: its output is the embedding.
        return self.fc1(F.cast(self.pre_fc1(x), dtype="float32"))
