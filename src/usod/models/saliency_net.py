"""The saliency network of every system here: a backbone and a head."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from usod.models.config import NetworkConfig
from usod.models.stages import NORMALISATIONS, Backbone


class SaliencyNet(nn.Module):
    """Image to saliency logits.

    Attributes
    ----------
    inputs : what `forward` takes: `image`, and what else its head reads (the head's own `inputs`)
    config : what it was built from
    backbone, head : its two parts, for learning rates of their own
    mean_std : mean and standard deviation, per RGB channel in [0, 1], that `normalise` uses
    weights : where the initial weights of the backbone come from (see `usod.models.weights.describe_weights`)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig, backbone: Backbone, head: nn.Module, weights: dict[str, str]) -> None:
        super().__init__()
        self.config = config
        self.weights = weights
        self.backbone = backbone
        self.head = head
        self.inputs: tuple[str, ...] = ("image", *getattr(head, "inputs", ()))
        self.mean_std = NORMALISATIONS[config.normalisation] if config.normalisation else backbone.mean_std
        mean, std = self.mean_std
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> what `forward` takes: mean subtracted, divided by the standard deviation."""
        return (image - self.mean) / self.std

    def forward(self, image: Tensor, *guides: Tensor) -> Tensor:
        """Logits of "this pixel is salient"; their sigmoid is the saliency map.

        Parameters
        ----------
        image : (B, 3, H, W) float, normalised RGB (see `normalise`); any H, W >= 32, and larger than
            `config.reflect_padding`
        guides : what else is in `inputs`: for LDPS the prior, (B, 1, H, W) float32 in [0, 1]

        Returns
        -------
        (B, 1, H, W) of the image's dtype
        """
        return self.head(self._stages(image), image.shape[-2:], *guides)

    def saliency(self, image: Tensor, *guides: Tensor) -> Tensor:
        """The saliency map that `forward` stands for, (B, 1, H, W) in [0, 1]: by the head's own `saliency`, if any."""
        return getattr(self.head, "saliency", Tensor.sigmoid)(self(image, *guides), *guides)

    def _stages(self, image: Tensor) -> list[Tensor]:
        margin = self.config.reflect_padding
        if not margin:
            return self.backbone.stages(image)
        stages = self.backbone.stages(functional.pad(image, (margin,) * 4, mode="reflect"))
        cut = []
        for stage, stride in zip(stages, self.backbone.strides, strict=True):
            height, width = (-(-side // stride) for side in image.shape[-2:])
            first = margin // stride
            cut.append(stage[..., first : first + height, first : first + width])
        return cut
