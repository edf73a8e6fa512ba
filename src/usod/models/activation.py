"""The activation head of A2S, stage 1 (Zhou et al., TCSVT 2023, section III-A).

A frozen, pretrained encoder already answers to objects. Four small blocks gather its three deepest stages into one
activation map; its mean divides salient from background pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from usod.models.group_norm import GroupNorm
from usod.models.ram import WIDTH, resize


class SqueezeExcitation(nn.Module):
    """SE block as in the authors' code: 64 channels, each weighted by a gate that sees the whole image."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            nn.Conv2d(inputs, WIDTH, 3, padding=1), GroupNorm(1, WIDTH), nn.ReLU(inplace=True)
        )
        self.gate = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transform(x)
        return x * self.gate(x.mean(dim=(2, 3), keepdim=True)).sigmoid()


class Decisions(NamedTuple):
    """Decision values theta (B, h, w), each at its own resolution."""

    fused: Tensor
    auxiliary: tuple[Tensor, Tensor, Tensor]


class ActivationHead(nn.Module):
    """F3, F4, F5 = SE(E3), SE(E4), SE(E5); F = SE(concat(F3, F4, F5)) at half the image's resolution (Eq. 1).

    In training it gives the decision values of all four, for the loss; in evaluation the logits sign(F) theta of F,
    whose sigmoid is the saliency map before CRF and median filter (Eq. 6).

    Parameters
    ----------
    channels : channels of the five stages, shallow to deep
    boundary : see `Boundary`
    """

    def __init__(self, channels: Sequence[int], boundary: str = "db5") -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SqueezeExcitation(inputs) for inputs in channels[2:])
        self.fuse = SqueezeExcitation(3 * WIDTH)
        self.boundaries = nn.ModuleList(Boundary(boundary) for _ in range(4))

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Decisions | Tensor:
        """Five stages, (height, width) of the image -> decision values, or (B, 1, height, width) logits."""
        features = [block(stage) for block, stage in zip(self.blocks, stages[2:], strict=True)]
        half = [(side + 1) // 2 for side in size]
        combined = self.fuse(torch.cat([resize(f, half) for f in features], dim=1))
        fused = self.boundaries[0](combined)
        if not self.training:
            signed = fused * foreground_sign(fused)[:, None, None]
            return resize(signed[:, None], size)
        third, fourth, fifth = (boundary(f) for boundary, f in zip(self.boundaries[1:], features, strict=True))
        return Decisions(fused, (third, fourth, fifth))


class Boundary(nn.Module):
    """Decision values theta^n of features f (B, C, H, W): (B, H, W) (section IV-E).

    - db5, the adaptive decision boundary: 1^T (f^n - m), m the mean of f over the image (Eq. 3)
    - db1: 1^T (f^n - M), M the mean over the training set, followed while training
    - db2: m^T f^n;  db3: m^T (f^n - m);  db4: w^T (f^n - m) with learnt weights w
    """

    overall: Tensor

    def __init__(self, kind: str = "db5") -> None:
        super().__init__()
        self.kind = kind
        if kind == "db1":
            self.register_buffer("overall", torch.zeros(WIDTH))
        if kind == "db4":
            self.weights = nn.Parameter(torch.ones(WIDTH))

    def forward(self, features: Tensor) -> Tensor:
        mean = features.mean(dim=(-2, -1), keepdim=True)
        if self.kind == "db1":
            if self.training:
                self.overall.lerp_(features.detach().mean(dim=(0, 2, 3)).to(self.overall), 0.1)
            return (features - self.overall[:, None, None]).sum(dim=1)
        if self.kind == "db2":
            return (mean * features).sum(dim=1)
        if self.kind == "db3":
            return (mean * (features - mean)).sum(dim=1)
        if self.kind == "db4":
            return (self.weights[:, None, None] * (features - mean)).sum(dim=1)
        return (features - mean).sum(dim=1)


def foreground_sign(decision: Tensor) -> Tensor:
    """sign(F): 1 where fewer than half of an image's pixels, or half of them, have theta >= 0, else -1 (Eq. 5); (B,).

    What fills most of an image is taken for its background.
    """
    positive = (decision >= 0).float().mean((-2, -1))
    return torch.where(positive <= 0.5, 1.0, -1.0)


def inter_class_variance(activation: Tensor, threshold: Tensor) -> Tensor:
    """V = p1 p2 (mu1 - mu2)^2 of the two groups of pixels that a threshold makes (Eq. 2; Table I).

    Parameters
    ----------
    activation : (B, H, W)
    threshold : (B,), such as the mean or the median of each map

    Returns
    -------
    (B,); 0 where one group is empty
    """
    above = (activation >= threshold[:, None, None]).to(activation)
    share = above.mean((-2, -1))
    total = activation.mean((-2, -1))
    upper = (activation * above).mean((-2, -1))
    # p1 p2 (mu1 - mu2)^2 = (sum of the upper part - p1 * mean)^2 / (p1 p2)
    return (upper - share * total) ** 2 / (share * (1 - share)).clamp(min=1e-12)
