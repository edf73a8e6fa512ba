"""An encoder that stays as it is: its features on one grid, computed now or kept in a file."""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor
from torch.nn import functional

from usod.models.stages import Backbone


class FrozenEncoder(Backbone):
    """A backbone that does not learn, always in evaluation mode; its parameters are those of `encoder`.

    The chosen layers are brought to the grid of the finest of them and put together: that is what a FeatureStore keeps.
    Heads that want five stages get the grid itself, and before it up to two finer ones, doubled and quadrupled: the
    simple feature pyramid of ViTDet (Li et al., ECCV 2022) with bilinear interpolation in the place of its transposed
    convolutions, as all that is learnt lies in the head.

    Parameters
    ----------
    encoder : with its pretrained weights, or to be filled
    layers : counted from the last one, -1; of vision transformers blocks, of others stages
    size : side of the image that the encoder is given, brought to whole cells; None: the image's own
    """

    def __init__(self, encoder: Backbone, layers: Sequence[int], size: int | None = None) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self.name = encoder.name
        self.any_size = False
        self.mean_std = encoder.mean_std
        self.layers, self.side = list(layers), size
        channels, strides = encoder.layer_shapes(self.layers)
        self.cell = min(strides)
        self.whole = max(strides)
        self.channels = (sum(channels),) * 5
        finer = [stride for stride in (4, 2) if self.cell // stride >= 4]
        self.scales = [*finer, *[1] * (5 - len(finer))]
        # Of the encoder's own input: where it is given a larger image, cells of the head's are smaller.
        self.strides = tuple(max(1, self.cell // scale) for scale in self.scales)

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """As `nn.Module.train`, except that the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def given_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width of what the encoder is given for images of `size`: the nearest number of whole cells."""
        height, width = (max(1, round((self.side or side) / self.whole)) * self.whole for side in size)
        return height, width

    @torch.no_grad()
    def features(self, image: Tensor) -> Tensor:
        """The grid (B, C, h, w) of normalised images (B, 3, H, W)."""
        given = self.given_size(image.shape[-2:])
        if given != tuple(image.shape[-2:]):
            image = functional.interpolate(image, given, mode="bicubic", align_corners=False, antialias=True)
        layers = self.encoder.layer_features(image, self.layers)
        finest = max((layer.shape[-2:] for layer in layers), key=lambda size: size[0])
        return torch.cat([_at(layer, finest) for layer in layers], 1)

    def stages_of(self, features: Tensor) -> Sequence[Tensor]:
        """Five stages from a grid: what a head takes."""
        return Pyramid(features, self.scales)

    def stages(self, image: Tensor) -> Sequence[Tensor]:
        return self.stages_of(self.features(image))


class Pyramid(Sequence[Tensor]):
    """A grid (B, C, h, w) at several scales, each made when a head asks for it: most ask for the grid itself alone."""

    def __init__(self, grid: Tensor, scales: Sequence[int]) -> None:
        self.grid, self.scales = grid, scales

    def __len__(self) -> int:
        return len(self.scales)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        height, width = self.grid.shape[-2:]
        return _at(self.grid, (height * self.scales[index], width * self.scales[index]))


def _at(features: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return functional.interpolate(features, tuple(size), mode="bilinear", align_corners=False)
