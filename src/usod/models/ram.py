"""The saliency detector of A2S: residual attention modules (Zhou et al., TCSVT 2023, section III-B, Fig. 6).

All stages are brought to 64 channels. The deepest, H5, knows where the object is; what the shallower ones know beyond
it, H_i - H5, says where they are to be listened to.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from usod.models.group_norm import GroupNorm

WIDTH = 64


def conv_norm_relu(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, group norm of up to 32 groups, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), GroupNorm(32, outputs), nn.ReLU(inplace=True))


class ResidualAttention(nn.Module):
    """RAM: the features of two neighbouring stages, enhanced by what they know beyond the deepest one (Eqs. 9, 10).

    H'_i = H_i * sigmoid(conv(H_i - H5)),    R = conv(concat(H'_1, H'_2, H5))

    Parameters
    ----------
    attention : False leaves Eq. 9 out: R = conv(concat(H_1, H_2, H5)), the dagger rows of Table VII
    """

    def __init__(self, attention: bool = True) -> None:
        super().__init__()
        self.base = conv_norm_relu(WIDTH, WIDTH)
        self.attend = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2 if attention else 0))
        self.fuse = nn.Conv2d(3 * WIDTH, WIDTH, 3, padding=1)

    def forward(self, shallow: Tensor, deep: Tensor, h5: Tensor) -> Tensor:
        """H_1 and H_2 (or H_3 and H_4), and H5; (B, 64, H, W) of the shallowest one's size comes back."""
        size = shallow.shape[-2:]
        base, deep = resize(self.base(h5), size), resize(deep, size)
        features = [shallow, deep]
        if len(self.attend):
            features = [h * conv(h - base).sigmoid() for h, conv in zip(features, self.attend, strict=True)]
        return self.fuse(torch.cat([*features, base], dim=1))


class RAMHead(nn.Module):
    """Y = sum over channels of R_l * R_r, the local times the regional features (Eqs. 7 to 11).

    Parameters
    ----------
    channels : channels of the five stages, shallow to deep
    attention : see `ResidualAttention`
    """

    def __init__(self, channels: Sequence[int], attention: bool = True) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(conv_norm_relu(inputs, WIDTH) for inputs in channels)
        self.regional = ResidualAttention(attention)
        # As in the authors' code: H5 is upsampled in two steps before it meets the local features.
        self.widen = conv_norm_relu(WIDTH, 2 * WIDTH)
        self.narrow = conv_norm_relu(2 * WIDTH, WIDTH)
        self.local = ResidualAttention(attention)

    def forward(self, stages: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Five stages, (height, width) of the image -> (B, 1, height, width) logits."""
        local, regional = self.features(stages)
        return resize((local * regional).sum(dim=1, keepdim=True), size)

    def features(self, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """R_l and R_r, (B, 64, h, w) each, of the shallowest stage's size (Eq. 10; Fig. 11)."""
        h1, h2, h3, h4, h5 = (adapt(stage) for adapt, stage in zip(self.adapt, stages, strict=True))
        regional = self.regional(h3, h4, h5)
        h5 = functional.interpolate(self.widen(h5), scale_factor=2, mode="bilinear", align_corners=False)
        h5 = functional.interpolate(self.narrow(h5), scale_factor=2, mode="bilinear", align_corners=False)
        local = self.local(h1, h2, h5)
        return local, resize(regional, local.shape[-2:])


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resizing of (B, C, H, W), edges aligned to edges."""
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
