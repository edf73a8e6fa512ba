"""The saliency network of every system here: a backbone and a head."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from usod.errors import UsageError
from usod.models.config import NetworkConfig
from usod.models.frozen import FrozenEncoder
from usod.models.stages import NORMALISATIONS, Backbone


class SaliencyNet(nn.Module):
    """Image to saliency logits.

    Attributes
    ----------
    sees_image : whether the head reads the image beside its features; if not, a forward pass with `features` takes only
        its size from it
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
        self.sees_image = bool(getattr(head, "sees_image", False))
        self.inputs: tuple[str, ...] = ("image", *getattr(head, "inputs", ()))
        self.mean_std = NORMALISATIONS[config.normalisation] if config.normalisation else backbone.mean_std
        mean, std = self.mean_std
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> what `forward` takes: mean subtracted, divided by the standard deviation."""
        return (image - self.mean) / self.std

    def as_input(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB -> what `forward` takes: normalised float32, channels last in memory."""
        inputs = self.normalise(images.permute(0, 3, 1, 2).float() / 255)
        return inputs.contiguous(memory_format=torch.channels_last)

    def learnt_state(self) -> dict[str, Tensor]:
        """The tensors that training can change: all but those of a frozen encoder."""
        frozen = self.config.frozen
        return {k: tensor for k, tensor in self.state_dict().items() if not (frozen and k.startswith("backbone."))}

    @property
    def encoder_identity(self) -> dict[str, Any]:
        """What decides the features of its frozen encoder, for images of one size: as a FeatureStore notes it.

        Raises
        ------
        UsageError
            If its encoder is not frozen.
        """
        if not isinstance(self.backbone, FrozenEncoder):
            raise UsageError("network: its encoder learns, and has no features to keep; add frozen: true")
        mean, std = self.mean_std
        return {
            "name": self.config.name,
            "weights": self.weights["sha256"],
            "normalisation": [*mean, *std],
            "output_stride": self.config.output_stride,
            "size": self.backbone.side,
            "layers": self.backbone.layers,
            "what": self.config.features.what,
        }

    def forward(self, image: Tensor, *guides: Tensor, features: Tensor | None = None) -> Tensor:
        """Logits of "this pixel is salient"; their sigmoid is the saliency map.

        Parameters
        ----------
        image : (B, 3, H, W) float, normalised RGB (see `normalise`); any H, W >= 32, and larger than
            `config.reflect_padding`
        guides : what else is in `inputs`: for LDPS the prior, (B, 1, H, W) float32 in [0, 1]
        features : (B, C, h, w) of a frozen encoder for these images, where they are at hand

        Returns
        -------
        (B, 1, H, W) of the image's dtype
        """
        seen = (image,) if self.sees_image else ()
        return self.head(self.stages(image, features), image.shape[-2:], *seen, *guides)

    def saliency(self, image: Tensor, *guides: Tensor, features: Tensor | None = None) -> Tensor:
        """The saliency map that `forward` stands for, (B, 1, H, W) in [0, 1]: by the head's own `saliency`, if any."""
        return getattr(self.head, "saliency", Tensor.sigmoid)(self(image, *guides, features=features), *guides)

    def stages(self, image: Tensor, features: Tensor | None = None) -> Sequence[Tensor]:
        """What the head is given of normalised images (B, 3, H, W): features of the backbone's five stages."""
        if features is not None:
            assert isinstance(self.backbone, FrozenEncoder)
            return self.backbone.stages_of(features)
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
