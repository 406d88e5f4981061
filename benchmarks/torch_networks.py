"""The backbones and their training in PyTorch, IResNet laid out as arcface_torch's: what ours are measured beside."""

from __future__ import annotations

from typing import Any

from arcface_gluon.models.iresnet import CHANNELS, UNITS
from arcface_gluon.runtime import import_optional

torch = import_optional("torch")
nn, functional = torch.nn, torch.nn.functional


def _convolution(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class _Unit(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        first = nn.BatchNorm2d(inputs), _convolution(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.PReLU(outputs)
        self.body = nn.Sequential(*first, _convolution(outputs, outputs, 3, stride), nn.BatchNorm2d(outputs))
        projection = nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        self.shortcut = projection if stride > 1 else nn.Identity()

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class IResNet(nn.Module):
    """Normalised pixels (B, 3, 112, 112) -> (B, 512) float32; the convolutions in whatever autocast says."""

    def __init__(self, depth: int):
        super().__init__()
        layers: list[Any] = [_convolution(3, CHANNELS[0], 3), nn.BatchNorm2d(CHANNELS[0]), nn.PReLU(CHANNELS[0])]
        for stage, count in enumerate(UNITS[depth]):
            layers += [_Unit(CHANNELS[stage + (u > 0)], CHANNELS[stage + 1], 1 if u else 2) for u in range(count)]
        self.body = nn.Sequential(*layers, nn.BatchNorm2d(CHANNELS[-1]), nn.Flatten(), nn.Dropout(0.4))
        self.end = nn.Sequential(nn.Linear(CHANNELS[-1] * 7 * 7, 512), nn.BatchNorm1d(512))

    def forward(self, x: Any) -> Any:
        features = self.body(x)
        with torch.autocast("cpu", enabled=False):
            return self.end(features.float())


def _layer(inputs, outputs, kernel, stride=1, groups=1, linear=False, padding=0):
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), *([] if linear else [nn.PReLU(outputs)]))


class _Bottleneck(nn.Module):
    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        depthwise = _layer(groups, groups, 3, stride, groups, padding=1)
        self.body = nn.Sequential(_layer(inputs, groups, 1), depthwise, _layer(groups, outputs, 1, linear=True))
        self.residual = stride == 1

    def forward(self, x):
        return self.body(x) + x if self.residual else self.body(x)


class MobileFaceNet(nn.Module):
    """Normalised pixels (B, 3, 112, 112) -> (B, 512) float32, of the original's size."""

    def __init__(self):
        super().__init__()
        layers: list[Any] = [_layer(3, 64, 3, 2, padding=1), _layer(64, 64, 3, groups=64, padding=1)]
        inputs = 64
        for outputs, strided, groups, count in ((64, 128, 128, 4), (128, 256, 256, 6), (128, 512, 256, 2)):
            layers.append(_Bottleneck(inputs, outputs, 2, strided))
            layers += [_Bottleneck(outputs, outputs, 1, groups) for _ in range(count)]
            inputs = outputs
        layers += [_layer(inputs, 512, 1), _layer(512, 512, 7, groups=512, linear=True), nn.Flatten()]
        self.body = nn.Sequential(*layers, nn.Linear(512, 512), nn.BatchNorm1d(512))

    def forward(self, x: Any) -> Any:
        return self.body(x).float()


class ArcFace(nn.Module):
    """Loss of an ArcFace head, s 64 and m 0.5."""

    def __init__(self, identities: int):
        super().__init__()
        self.centres = nn.Parameter(0.01 * torch.randn(identities, 512))

    def forward(self, embeddings: Any, labels: Any) -> Any:
        cosines = functional.linear(functional.normalize(embeddings), functional.normalize(self.centres))
        own = cosines.gather(1, labels[:, None])
        with_margin = torch.cos(torch.acos(own.clamp(-1 + 1e-6, 1 - 1e-6)) + 0.5)
        return functional.cross_entropy(64 * cosines.scatter(1, labels[:, None], with_margin), labels)
