"""A head whose borders follow the image: coarse features decide what is salient, the image where it ends."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from usod.models.group_norm import GroupNorm
from usod.models.light import conv_norm
from usod.models.logit import ToLogit


class GuidedHead(nn.Module):
    """Learnt upsampling of a patch grid, guided by the image.

    The grid's hidden layer, which also gets the mean over the image, gives a coarse logit as the head `patch` does. Two
    convolutions of the image itself, at stride 2 and 4, are joined with it on the way up, and what they add to the
    coarse logit starts at zero: a network of this kind is never worse at its start than one without.

    Parameters
    ----------
    channels : of the deepest stage
    width : of the hidden layer
    detail : channels of the image's features at stride 4, a multiple of 16; half as many at stride 2
    """

    sees_image = True

    def __init__(self, channels: int, width: int = 64, detail: int = 32) -> None:
        super().__init__()
        self.norm = GroupNorm(1, channels, affine=False)
        self.hidden = nn.Conv2d(channels, width, 1)
        self.context = nn.Conv2d(channels, width, 1, bias=False)
        self.coarse = ToLogit(width)
        self.at_half = nn.Sequential(conv_norm(3, detail // 2, stride=2), nn.ReLU())
        self.at_quarter = nn.Sequential(conv_norm(detail // 2, detail, stride=2), nn.ReLU())
        self.join_quarter = nn.Sequential(conv_norm(width + detail, detail), nn.ReLU())
        self.join_half = nn.Sequential(conv_norm(detail + detail // 2, detail // 2), nn.ReLU())
        self.fine = ToLogit(detail // 2)
        nn.init.zeros_(self.fine.weight)
        assert self.fine.bias is not None
        nn.init.zeros_(self.fine.bias)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int], image: Tensor) -> Tensor:
        """Five stages, (height, width) of the image and the normalised image (B, 3, H, W) -> (B, 1, H, W) logits."""
        x = self.norm(stages[-1])
        hidden = torch.relu(self.hidden(x) + self.context(x.mean((2, 3), keepdim=True)))
        half = self.at_half(image)
        quarter = self.at_quarter(half)
        fine = self.join_quarter(torch.cat([_enlarged(hidden, quarter), quarter], 1))
        fine = self.fine(self.join_half(torch.cat([_enlarged(fine, half), half], 1)))
        logits = fine + _enlarged(self.coarse(hidden), fine)
        return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def _enlarged(features: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)
