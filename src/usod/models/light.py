"""`light`: a backbone of 0.25 million parameters that learns from scratch on a CPU in minutes, at 128 px."""

from torch import Tensor, nn

from usod.models.group_norm import GroupNorm
from usod.models.stages import Backbone

GROUPS = 8


def conv_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, group norm: the same in training and evaluation and for every batch size, unlike batch norm."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, GroupNorm(GROUPS, outputs))


class Stage(nn.Module):
    """Halve the resolution, then one residual convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = conv_norm(inputs, outputs, stride=2)
        self.refine = conv_norm(outputs, outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.down(x))
        return self.relu(x + self.refine(x))


class Light(Backbone):
    """Five stages of strides 2 to 32; the receptive field of the last, 183 px, spans a whole 128 px image.

    The first stage is a single convolution, because its resolution makes it the dearest.

    Parameters
    ----------
    width : channels of the first stage, a multiple of 8; the others have 2, 3, 4 and 6 times as many
    """

    name = "light"
    strides = (2, 4, 8, 16, 32)

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.decoder_width = 2 * width
        self.channels = tuple(width * factor for factor in (1, 2, 3, 4, 6))
        self.stage1 = nn.Sequential(conv_norm(3, width, stride=2), nn.ReLU(inplace=True))
        for number, (inputs, outputs) in enumerate(zip(self.channels, self.channels[1:], strict=False), start=2):
            setattr(self, f"stage{number}", Stage(inputs, outputs))

    def stages(self, image: Tensor) -> list[Tensor]:
        features = []
        x = image
        for number in range(1, 6):
            x = self.get_submodule(f"stage{number}")(x)
            features.append(x)
        return features
