"""The networks of WSS (Wang et al., CVPR 2017, Fig. 4): tags and foreground together, then foreground in detail."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from usod.models.logit import ToLogit
from usod.models.pooling import GlobalPooling, Pooling
from usod.models.ram import resize

PATTERNS = 512


class Tagged(NamedTuple):
    """What the tags' training looks at: class scores (B, K), logits, and the foreground map F (B, h, w) in [0, 1]."""

    scores: Tensor
    foreground: Tensor


def foreground_layer(channels: int) -> nn.Sequential:
    """The foreground inference net's own layers: a convolution to one channel and a batch norm; then a sigmoid."""
    layer = ToLogit(channels, 3, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(layer, nn.BatchNorm2d(1))


class TagHead(nn.Module):
    """FCN and FIN side by side (sections 3.2 and 3.3): S * F, pooled to one score per pattern, then to classes.

    In training it gives `Tagged`, in evaluation the logits of F, (B, 1, H, W).

    Parameters
    ----------
    channels : of the deepest stage
    classes : number of tags
    pooling, mu : see `GlobalPooling`
    average : in evaluation, the mean of the score maps in the place of F, stretched to 0..1 (Fig. 6, WSS1-AVE)
    """

    def __init__(
        self, channels: int, classes: int, pooling: Pooling = "gsp", mu: float = 10.0, average: bool = False
    ) -> None:
        super().__init__()
        patterns = nn.Conv2d(channels, PATTERNS, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(patterns.weight)
        self.patterns = nn.Sequential(patterns, nn.BatchNorm2d(PATTERNS), nn.ReLU(inplace=True))
        self.foreground = foreground_layer(channels)
        self.pool = GlobalPooling(pooling, mu)
        self.classify = nn.Linear(PATTERNS, classes)
        self.average = average

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tagged | Tensor:
        foreground = self.foreground(stages[-1])
        if not self.training:
            return resize(self._average(stages[-1]) if self.average else foreground, size)
        masked = self.patterns(stages[-1]) * foreground.sigmoid()
        return Tagged(self.classify(self.pool(masked)), foreground.sigmoid()[:, 0])

    def look(self, stages: Sequence[Tensor]) -> dict[str, Tensor]:
        """For pictures, (B, h, w) each: the mean score map, the mean of the masked ones, the foreground map."""
        patterns, foreground = self.patterns(stages[-1]), self.foreground(stages[-1]).sigmoid()
        return {"S": patterns.mean(1), "S x F": (patterns * foreground).mean(1), "F": foreground[:, 0]}

    def _average(self, deepest: Tensor) -> Tensor:
        mean = self.patterns(deepest).mean(dim=1, keepdim=True)
        low, high = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
        return ((mean - low) / (high - low).clamp(min=1e-6)).clamp(1e-4, 1 - 1e-4).logit()


class FINHead(nn.Module):
    """The extended foreground inference net (section 3.4): three deconvolutions, skips after the first two.

    With VGG-16 they double, double and quadruple the resolution, and the skips come from conv4_3 and conv3_3.

    Parameters
    ----------
    channels, strides : of the backbone's stages, shallow to deep; the last three are used
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.foreground = foreground_layer(channels[-1])
        self.skips = nn.ModuleList(foreground_layer(channels[index]) for index in (-2, -3))
        factors = [strides[-1] // strides[-2], strides[-2] // strides[-3], strides[-3]]
        self.up = nn.ModuleList(bilinear_deconvolution(factor) for factor in factors)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Five stages, (height, width) of the image -> (B, 1, height, width) logits."""
        x = self.foreground(stages[-1])
        for up, skip, stage in zip(self.up[:2], self.skips, (stages[-2], stages[-3]), strict=True):
            x = up(x)[..., : stage.shape[-2], : stage.shape[-1]] + skip(stage)
        return self.up[2](x)[..., : size[0], : size[1]]


def bilinear_deconvolution(factor: int) -> nn.Module:
    """A transposed convolution that upsamples by `factor`, bilinearly before it learns better; nothing for 1."""
    if factor == 1:
        return nn.Identity()
    layer = nn.ConvTranspose2d(1, 1, 2 * factor, stride=factor, padding=factor // 2, bias=False)
    distance = (torch.arange(2 * factor) - factor + 0.5).abs() / factor
    weight = 1 - distance
    with torch.no_grad():
        layer.weight.copy_(weight[:, None] * weight)
    return layer
