"""Dilated residual networks DRN-D (Yu, Koltun and Funkhouser, "Dilated Residual Networks", CVPR 2017).

A ResNet loses the position of small objects in its strides; a DRN stops at output stride 8 and dilates instead.
Variant D removes the gridding that dilation causes: no max pooling, and two plain convolutions of decreasing
dilation (2, then 1) after the most dilated level. Names and shapes of the parameters are those of the published
checkpoints, so that they load.
"""

import math
from typing import NamedTuple

from torch import Tensor, nn

from usod.models.stages import Backbone

CHANNELS = (16, 32, 64, 128, 256, 512, 512, 512)
DILATION = {5: 2, 6: 4, 7: 2, 8: 1}


class Variant(NamedTuple):
    bottleneck: bool
    blocks: tuple[int, int, int, int]  # residual blocks of levels 3 to 6


VARIANTS = {
    "drn_d_22": Variant(bottleneck=False, blocks=(2, 2, 2, 2)),
    "drn_d_105": Variant(bottleneck=True, blocks=(3, 4, 23, 3)),
}


def _conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions, both dilated."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, width, stride, dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Residual block 1x1, dilated 3x3, 1x1; four times as many channels out as in the middle."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = downsample
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _plain_level(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    reach = kernel // 2 * dilation
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=reach, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _residual_level(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, blocks: int, stride: int, dilation: int
) -> nn.Sequential:
    outputs = width * block.expansion
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, width, stride, dilation, downsample)
    return nn.Sequential(first, *(block(outputs, width, 1, dilation, None) for _ in range(blocks - 1)))


class DRN(Backbone):
    """DRN-D-22 or DRN-D-105 without the classifier.

    Levels 0 to 8 as in the paper: 0 to 2 plain convolutions, 3 to 6 residual, 7 and 8 plain; strides at levels 2, 3
    and 4. The five stages are levels 2, 3, 4, 5 and 8, of strides 2, 4, 8, 8, 8.

    Parameters
    ----------
    name : drn_d_22 (basic blocks) or drn_d_105 (bottlenecks); the number counts the layers of the classifier
    """

    strides = (2, 4, 8, 8, 8)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        variant = VARIANTS[name]
        block = Bottleneck if variant.bottleneck else BasicBlock
        self.layer0 = _plain_level(3, CHANNELS[0], kernel=7)
        self.layer1 = _plain_level(CHANNELS[0], CHANNELS[0])
        self.layer2 = _plain_level(CHANNELS[0], CHANNELS[1], stride=2)
        inputs = CHANNELS[1]
        for level, blocks in enumerate(variant.blocks, start=3):
            width, stride = CHANNELS[level - 1], 2 if level in (3, 4) else 1
            setattr(
                self, f"layer{level}", _residual_level(block, inputs, width, blocks, stride, DILATION.get(level, 1))
            )
            inputs = width * block.expansion
        self.layer7 = _plain_level(inputs, CHANNELS[6], dilation=DILATION[7])
        self.layer8 = _plain_level(CHANNELS[6], CHANNELS[7], dilation=DILATION[8])
        widths = [CHANNELS[level - 1] * block.expansion for level in (3, 4, 5)]
        self.channels = (CHANNELS[1], *widths, CHANNELS[7])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
                nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))

    def stages(self, image: Tensor) -> list[Tensor]:
        features = []
        x = image
        for level in range(9):
            x = self.get_submodule(f"layer{level}")(x)
            if level in (2, 3, 4, 5, 8):
                features.append(x)
        return features
