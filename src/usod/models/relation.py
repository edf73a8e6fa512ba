"""The relation network of LDPS (Chen et al., AAAI 2020): does a pixel belong to what the prior is sure of?

The features of the pixels that a prior map is sure of are averaged to one foreground vector. A discriminator tells from
each pixel's features, beside that vector, whether the two were drawn together (Fig. 2).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from usod.models.logit import ToLogit

WIDTH = 32
DILATIONS = (6, 12, 18)


def conv(inputs: int, outputs: int, size: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch norm, PReLU, as everywhere in the authors' code."""
    reach = size // 2 * dilation
    layer = nn.Conv2d(inputs, outputs, size, padding=reach, dilation=dilation, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.PReLU(outputs))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 and three dilated 3x3 convolutions side by side, joined to 32 channels."""

    def __init__(self, inputs: int = WIDTH) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv(inputs, WIDTH), *(conv(inputs, WIDTH, 3, rate) for rate in DILATIONS)])
        self.join = conv(WIDTH * (1 + len(DILATIONS)), WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([branch(x) for branch in self.branches], dim=1))


class Residual(nn.Module):
    """x + two 3x3 convolutions, as in the heads of the authors' code."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(WIDTH, WIDTH, 3)
        self.second = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.PReLU(WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class RelationHead(nn.Module):
    """Features of four stages to 32 channels at half the image's size, and the discriminator of pairs.

    Parameters
    ----------
    channels : channels of all stages, shallow to deep
    read : the numbers of the four stages that it reads: with MobileNetV2 and VGG-16 those of the paper (features 0, 3,
        13 and 17; conv2_2 to conv5_3)
    theta_fg : prior values from here on are certain foreground
    released : as the authors' code: the stages are concatenated (472 channels with MobileNetV2) and reduced by three
        convolutions; foreground vector and pixels have three residual blocks each; pairs are made at the image's own
        size; the discriminator has two layers. False, as the paper says: one reduction before the pyramid, the same
        features for both, pairs at half the size, five layers of 1x1 convolutions.
    whole : the pyramid sees the concatenated stages, and is their reduction
    """

    inputs = ("prior",)

    def __init__(
        self,
        channels: Sequence[int],
        read: Sequence[int],
        theta_fg: float = 0.9,
        released: bool = False,
        whole: bool = False,
    ) -> None:
        super().__init__()
        self.read = tuple(read)
        self.theta_fg = theta_fg
        self.released = released
        self.whole = whole
        channels = [channels[number] for number in read]
        total = sum(channels)
        self.norm = nn.Identity() if released or whole else nn.Sequential(nn.BatchNorm2d(WIDTH), nn.PReLU(WIDTH))
        if whole:
            self.reduce = nn.ModuleList([nn.Identity()])
        elif released:
            self.reduce = nn.ModuleList([nn.Sequential(conv(total, total), conv(total, WIDTH, 3), conv(WIDTH, WIDTH))])
        else:
            # A 1x1 convolution of the concatenation, done stage by stage before upsampling, with which it commutes.
            self.reduce = nn.ModuleList(nn.Conv2d(inputs, WIDTH, 1, bias=False) for inputs in channels)
        self.pyramid = ASPP(total if whole else WIDTH)
        blocks = 3 if released else 0
        self.certain = nn.Sequential(*(Residual() for _ in range(blocks)))
        self.every = nn.Sequential(*(Residual() for _ in range(blocks)))
        layers = [conv(2 * WIDTH, 2 * WIDTH) for _ in range(1 if released else 4)]
        self.discriminator = nn.Sequential(*layers, ToLogit(2 * WIDTH))

    def forward(self, stages: Sequence[Tensor], size: Sequence[int], prior: Tensor) -> Tensor:
        """Logits of "drawn together with the foreground", (B, 1, H, W).

        Parameters
        ----------
        stages : all of the backbone's, shallow to deep
        size : (H, W) of the image
        prior : (B, 1, H, W) float32 in [0, 1]
        """
        # The authors' code swaps the pair at random, at test time as well; here in training only.
        swap = self.training and self.released and bool(torch.rand(()) < 0.5)
        half = [(side + 1) // 2 for side in size]
        x = self.pyramid(self._fuse([stages[number] for number in self.read], half))
        certain, every = self.certain(x), self.every(x)
        if self.released:
            certain, every = _resize(certain, size), _resize(every, size)
        foreground = foreground_vector(certain, at_pairs(prior, self.released), self.theta_fg)
        pair = [foreground.expand_as(every), every]
        return _resize(self.discriminator(torch.cat(pair[::-1] if swap else pair, dim=1)), size)

    def saliency(self, logits: Tensor, prior: Tensor) -> Tensor:
        """What prior and network say together (Eqs. 10, 11), in [0, 1]; a prior that is nowhere certain as it is."""
        certain = is_certain(prior, self.theta_fg, self.released)
        return torch.where(certain[:, None, None, None], merge(prior, logits.sigmoid()), prior)

    def _fuse(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        if self.released or self.whole:
            return self.reduce[0](torch.cat([_resize(stage, size) for stage in stages], dim=1))
        reduced = [_resize(reduce(s), size) for reduce, s in zip(self.reduce, stages, strict=True)]
        return self.norm(torch.stack(reduced).sum(0))


def at_pairs(prior: Tensor, released: bool) -> Tensor:
    """A prior (B, 1, H, W) at the size at which pairs are made: half the image's, or with `released` the image's."""
    return prior if released else _resize(prior, [(side + 1) // 2 for side in prior.shape[-2:]])


def is_certain(prior: Tensor, theta_fg: float, released: bool) -> Tensor:
    """Which priors (B, 1, H, W) have a foreground vector: theta_fg or more somewhere, at the pairs' size; (B,)."""
    return (at_pairs(prior, released) >= theta_fg).flatten(1).any(1)


def foreground_vector(features: Tensor, prior: Tensor, theta_fg: float) -> Tensor:
    """F_fg = sum_i p_i f_i over the pixels whose prior is theta_fg or more, p_i = s_i / sum s (Eq. 7).

    Parameters
    ----------
    features : (B, C, h, w)
    prior : (B, 1, h, w) in [0, 1]

    Returns
    -------
    (B, C, 1, 1); zero for an image without such a pixel
    """
    weight = prior * (prior >= theta_fg)
    weight = weight / weight.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    return (features * weight.to(features.dtype)).sum(dim=(2, 3), keepdim=True)


def merge(prior: Tensor, refined: Tensor) -> Tensor:
    """At each pixel the surer of two maps: c = s where s > 0.5, else 1 - s (Eqs. 10, 11); the refined one if equal.

    Parameters
    ----------
    prior, refined : float in [0, 1], of one shape
    """
    return torch.where((prior - 0.5).abs() > (refined - 0.5).abs(), prior, refined)


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    if x.shape[-2:] == torch.Size(size):
        return x
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
