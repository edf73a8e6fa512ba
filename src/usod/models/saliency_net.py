"""The saliency network of every system here: a backbone and a head."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from usod.models.activation import ActivationHead
from usod.models.backbones import build_backbone
from usod.models.config import NetworkConfig
from usod.models.heads import FCNHead, SkipHead
from usod.models.ram import RAMHead
from usod.models.stages import Backbone
from usod.models.weights import describe_weights, load_weights
from usod.progress import say


class SaliencyNet(nn.Module):
    """Image to saliency logits.

    Attributes
    ----------
    config : what it was built from
    backbone, head : its two parts, for learning rates of their own
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
        mean, std = config.mean_std
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> what `forward` takes: mean subtracted, divided by the standard deviation."""
        return (image - self.mean) / self.std

    def forward(self, image: Tensor) -> Tensor:
        """Logits of "this pixel is salient"; their sigmoid is the saliency map.

        Parameters
        ----------
        image : (B, 3, H, W) float, normalised RGB (see `normalise`); any H, W >= 32, and larger than
            `config.reflect_padding`

        Returns
        -------
        (B, 1, H, W) of the image's dtype
        """
        return self.head(self._stages(image), image.shape[-2:])

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


def build_network(config: NetworkConfig) -> SaliencyNet:
    """The network of a configuration, with its pretrained weights; the rest is drawn from torch's random state.

    Raises
    ------
    UsodError
        If the weights cannot be found, read, downloaded, or do not fit.
    """
    backbone = build_backbone(config)
    report = load_weights(backbone, config.weights)
    if config.weights != "none":
        say(f"{config.name} from {config.weights}: {report}")
    if config.resolved_head == "fcn":
        head: nn.Module = FCNHead(backbone.channels[-1], backbone.strides[-1], config.head_init_std)
    elif config.resolved_head == "ram":
        head = RAMHead(backbone.channels, config.ram_attention)
    elif config.resolved_head == "activation":
        head = ActivationHead(backbone.channels, config.boundary)
    else:
        width = 2 * config.light_width if config.name == "light" else 64
        head = SkipHead(backbone.channels, backbone.strides, width)
    return SaliencyNet(config, backbone, head, describe_weights(config))
