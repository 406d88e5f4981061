"""The three networks of MTCNN (Zhang et al., IEEE Signal Processing Letters 23(10), 2016), as its weights are.

All convolutions are unpadded and have a bias, PReLU has a slope a channel, and pooling rounds sides up. Inputs are RGB,
(x - 127.5) / 128. The networks take any device; `models.formats.mtcnn_weights` fills them.
"""

from __future__ import annotations

from mxnet.gluon import HybridBlock, nn

from .layers import PReLU


class _Stage(HybridBlock):
    """Convolutions of (channels, kernel, side of the pooling after or None), then heads.

    Gives the box's correction, the five points where the stage finds them, and the probabilities of (no face, face).
    """

    def __init__(self, convolutions, hidden, points):
        super().__init__()
        self.trunk = nn.HybridSequential()
        before = 3
        for channels, kernel, pooling in convolutions:
            self.trunk.add(nn.Conv2D(channels, kernel, in_channels=before), PReLU(channels))
            if pooling:
                self.trunk.add(nn.MaxPool2D(pooling, 2, ceil_mode=True))
            before = channels
        if hidden:
            inputs, units = hidden
            self.trunk.add(nn.Dense(units, in_units=inputs), PReLU(units))
            self.box, self.face = nn.Dense(4, in_units=units), nn.Dense(2, in_units=units)
            self.points = nn.Dense(10, in_units=units) if points else None
        else:
            self.box, self.face = nn.Conv2D(4, 1, in_channels=before), nn.Conv2D(2, 1, in_channels=before)
            self.points = None

    def layers(self) -> list[HybridBlock]:
        """Those with parameters, in the order of the public weights: trunk, box, points, face."""
        trunk = [layer for layer in self.trunk if not isinstance(layer, nn.MaxPool2D)]
        return [*trunk, self.box, *([self.points] if self.points else []), self.face]

    def hybrid_forward(self, F, x):
        x = self.trunk(x)
        face = F.softmax(self.face(x), axis=1)
        return (self.box(x), self.points(x), face) if self.points else (self.box(x), face)


class PNet(_Stage):
    """Proposals at every second pixel: (B, 3, H, W) -> box (B, 4, h, w) and face (B, 2, h, w), of 12x12 pixels each."""

    def __init__(self):
        super().__init__([(10, 3, 2), (16, 3, None), (32, 3, None)], hidden=None, points=False)


class RNet(_Stage):
    """Refinement: (B, 3, 24, 24) -> box (B, 4) and face (B, 2)."""

    def __init__(self):
        super().__init__([(28, 3, 3), (48, 3, 3), (64, 2, None)], hidden=(64 * 3 * 3, 128), points=False)


class ONet(_Stage):
    """Output: (B, 3, 48, 48) -> box (B, 4), points (B, 10; five x, then five y) and face (B, 2)."""

    def __init__(self):
        super().__init__([(32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, None)], hidden=(128 * 3 * 3, 256), points=True)
