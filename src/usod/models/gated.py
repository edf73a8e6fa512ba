"""The head of the first stage of A2S-v2 (Zhou et al., CVPR 2023) and A2S-v3 (Yuan et al., IJCAI 2024)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from usod.models.activation import SqueezeExcitation
from usod.models.ram import WIDTH, resize


class GatedHead(nn.Module):
    """The activation map of the three deepest stages, as in A2S but for its sign, and for having no auxiliary ones.

    f = SE(concat(SE(E3), SE(E4), SE(E5))) at half the image's size; theta = the sum over the channels of f minus its
    mean over the image; the logits are theta, or -theta where two or more of its four corners are positive.

    Parameters
    ----------
    channels : channels of the five stages, shallow to deep
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SqueezeExcitation(inputs) for inputs in channels[2:])
        self.fuse = SqueezeExcitation(3 * WIDTH)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Five stages, (height, width) of the image -> (B, 1, height, width) logits, in training too."""
        half = [(side + 1) // 2 for side in size]
        features = [resize(block(stage), half) for block, stage in zip(self.blocks, stages[2:], strict=True)]
        fused = self.fuse(torch.cat(features, dim=1))
        decision = (fused - fused.mean(dim=(-2, -1), keepdim=True)).sum(dim=1, keepdim=True)
        return resize(decision * corner_sign(decision), size)


def corner_sign(decision: Tensor) -> Tensor:
    """-1 where two or more of a map's four corners are positive, else 1: (B, 1, 1, 1) of (B, 1, H, W).

    What reaches into the corners is taken for the background.
    """
    corners = decision[..., :: max(decision.shape[-2] - 1, 1), :: max(decision.shape[-1] - 1, 1)]
    positive = (corners > 0).sum(dim=(-2, -1), keepdim=True)
    return torch.where(positive >= 2, -1.0, 1.0).to(decision)
