"""The activation head of A2S, stage 1 (Zhou et al., TCSVT 2023, section III-A).

A frozen, pretrained encoder already answers to objects. Four small blocks gather its three deepest stages into one
activation map; its mean divides salient from background pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from usod.models.ram import WIDTH, resize


class SqueezeExcitation(nn.Module):
    """SE block as in the authors' code: 64 channels, each weighted by a gate that sees the whole image."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            nn.Conv2d(inputs, WIDTH, 3, padding=1), nn.GroupNorm(1, WIDTH), nn.ReLU(inplace=True)
        )
        self.gate = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transform(x)
        return x * self.gate(x.mean(dim=(2, 3), keepdim=True)).sigmoid()


class Decisions(NamedTuple):
    """Decision values theta (Eq. 3), (B, h, w) each at its own resolution, summing to 0 over every image."""

    fused: Tensor
    auxiliary: tuple[Tensor, Tensor, Tensor]


class ActivationHead(nn.Module):
    """F3, F4, F5 = SE(E3), SE(E4), SE(E5); F = SE(concat(F3, F4, F5)) at half the image's resolution (Eq. 1).

    In training it gives the decision values of all four, for the loss; in evaluation the logits sign(F) theta of F,
    whose sigmoid is the saliency map before CRF and median filter (Eq. 6).

    Parameters
    ----------
    channels : channels of the five stages, shallow to deep
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SqueezeExcitation(inputs) for inputs in channels[2:])
        self.fuse = SqueezeExcitation(3 * WIDTH)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Decisions | Tensor:
        """Five stages, (height, width) of the image -> decision values, or (B, 1, height, width) logits."""
        features = [block(stage) for block, stage in zip(self.blocks, stages[2:], strict=True)]
        half = [(side + 1) // 2 for side in size]
        fused = decision_values(self.fuse(torch.cat([resize(f, half) for f in features], dim=1)))
        if not self.training:
            signed = fused * foreground_sign(fused)[:, None, None]
            return resize(signed[:, None], size)
        third, fourth, fifth = (decision_values(f) for f in features)
        return Decisions(fused, (third, fourth, fifth))


def decision_values(features: Tensor) -> Tensor:
    """theta^n = 1^T (f^n - mean of f over the image), the adaptive decision boundary (Eq. 3).

    (B, C, H, W) -> (B, H, W). The mean is that of each image: an image has its own boundary.
    """
    activation = features.sum(dim=1)
    return activation - activation.mean(dim=(-2, -1), keepdim=True)


def foreground_sign(decision: Tensor) -> Tensor:
    """sign(F): 1 where fewer than half of an image's pixels, or half of them, have theta >= 0, else -1 (Eq. 5); (B,).

    What fills most of an image is taken for its background.
    """
    positive = (decision >= 0).float().mean((-2, -1))
    return torch.where(positive <= 0.5, 1.0, -1.0)
