"""ResNets and MobileNetV2: torchvision's, dilated."""

import torchvision
from torch import Tensor, nn

from usod.models.stages import Backbone, replace_stride_with_dilation


class ResNet(Backbone):
    """ResNet (He et al. 2016) from torchvision, without the classifier; names of the parameters are torchvision's.

    Stages: conv1 + BN + ReLU (stride 2), layer1 (4), layer2 (8), layer3 and layer4 (16 and 32, or `output_stride`).

    Parameters
    ----------
    name : resnet18, resnet50 or resnet101
    output_stride : 8, 16 or 32 (32: as published)
    """

    def __init__(self, name: str, output_stride: int = 8) -> None:
        super().__init__()
        self.name = name
        network = torchvision.models.get_model(name, weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = network.conv1, network.bn1, network.relu, network.maxpool
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4
        levels: list[nn.Module] = [self.layer1, self.layer2, self.layer3, self.layer4]
        self.strides = (2, *replace_stride_with_dilation(levels, stride=4, output_stride=output_stride))
        expansion = network.layer1[0].expansion
        self.channels = (64, *(width * expansion for width in (64, 128, 256, 512)))

    def stages(self, image: Tensor) -> list[Tensor]:
        x = self.relu(self.bn1(self.conv1(image)))
        features = [x]
        x = self.maxpool(x)
        for level in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = level(x)
            features.append(x)
        return features


class MobileNetV2(Backbone):
    """MobileNetV2-1.0 (Sandler et al. 2018) from torchvision; names of the parameters are torchvision's.

    Stages: `features` 0, 3, 6, 13 and 17, of 32, 24, 32, 96 and 320 channels: the last of each resolution, except that
    the first is the stem, before its bottleneck (LDPS, Chen et al. 2020, reads 0, 3, 13 and 17). The final 1x1
    convolution to 1280 channels belongs to the classifier and is left out.

    Parameters
    ----------
    output_stride : 8, 16 or 32 (32: as published)
    """

    name = "mobilenet_v2"
    STAGES = (0, 3, 6, 13, 17)

    def __init__(self, output_stride: int = 16) -> None:
        super().__init__()
        network = torchvision.models.mobilenet_v2(weights=None)
        self.features = network.features[: self.STAGES[-1] + 1]
        strides = replace_stride_with_dilation(list(self.features), stride=1, output_stride=output_stride)
        self.strides = tuple(strides[index] for index in self.STAGES)
        self.channels = (32, 24, 32, 96, 320)

    def stages(self, image: Tensor) -> list[Tensor]:
        features = []
        x = image
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.STAGES:
                features.append(x)
        return features
