"""VGG-16, the backbone of WSS and of LDPS's second table."""

import torchvision
from torch import Tensor, nn

from usod.models.stages import Backbone


class VGG16(Backbone):
    """VGG-16 (Simonyan & Zisserman 2015) from torchvision, without the classifier; its parameters' names.

    Stages: conv1_2, conv2_2, conv3_3, conv4_3, conv5_3 after their ReLU, of 64, 128, 256, 512, 512 channels and strides
    1, 2, 4, 8, 16.
    """

    name = "vgg16"
    strides = (1, 2, 4, 8, 16)
    channels = (64, 128, 256, 512, 512)
    relation_stages = (1, 2, 3, 4)
    STAGES = (3, 8, 15, 22, 29)

    def __init__(self) -> None:
        super().__init__()
        # The last pooling belongs to the classifier.
        self.features = torchvision.models.vgg16(weights=None, init_weights=False).features[: self.STAGES[-1] + 1]
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode = True  # a last odd row is not lost; no difference at multiples of 16

    def stages(self, image: Tensor) -> list[Tensor]:
        features = []
        x = image
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.STAGES:
                features.append(x)
        return features
