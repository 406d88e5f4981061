"""arcface_torch's iresnet as its public description has it: an independent reference for the .pth files."""

import torch
from torch import nn

EPSILON = 1e-5


def convolution(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, stride, project):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs, eps=EPSILON)
        self.conv1 = convolution(inputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = convolution(outputs, outputs, 3, stride)
        self.bn3 = nn.BatchNorm2d(outputs, eps=EPSILON)
        shortcut = [convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs, eps=EPSILON)]
        self.downsample = nn.Sequential(*shortcut) if project else None

    def forward(self, x):
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """Takes (x - 127.5) / 127.5."""

    def __init__(self, units, channels, embedding_size, side=112):
        super().__init__()
        self.conv1 = convolution(3, channels[0], 3)
        self.bn1 = nn.BatchNorm2d(channels[0], eps=EPSILON)
        self.prelu = nn.PReLU(channels[0])
        for s, count in enumerate(units, 1):
            blocks = [Unit(channels[s - 1], channels[s], 2, True)]
            blocks += [Unit(channels[s], channels[s], 1, False) for _ in range(count - 1)]
            setattr(self, f"layer{s}", nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(channels[-1], eps=EPSILON)
        self.dropout = nn.Dropout(0)
        self.fc = nn.Linear(channels[-1] * (side // 16) ** 2, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size, eps=EPSILON)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.dropout(torch.flatten(self.bn2(x), 1))))


def randomised(net, seed=0):
    """Random parameters that make every part count; the last gamma stays 1, as there."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.dtype != torch.float32:
            continue
        if value.ndim > 1:
            value.normal_(0, (1.5 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("running_var") or (name.endswith("weight") and "prelu" not in name):
            value.uniform_(0.5, 1.5, generator=generator)
        elif "prelu" in name:
            value.uniform_(0.1, 0.5, generator=generator)
        else:
            value.uniform_(-0.2, 0.2, generator=generator)
    net.features.weight.data.fill_(1)
    return net.eval()
