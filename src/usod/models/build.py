"""From a configuration to a network with its pretrained weights."""

from usod.models.config import NetworkConfig
from usod.models.frozen import FrozenEncoder
from usod.models.saliency_net import SaliencyNet
from usod.models.stages import Backbone
from usod.models.weights import describe_weights, load_weights
from usod.progress import say


def build_network(config: NetworkConfig, described: dict[str, str] | None = None) -> SaliencyNet:
    """The network of a configuration, with its pretrained weights; the rest is drawn from torch's random state.

    Parameters
    ----------
    described : what `describe_weights` said of the weights once; they need not exist any more and are not loaded, as
        the caller fills the network

    Raises
    ------
    UsodError
        If the weights cannot be found, read, downloaded, or do not fit.
    """
    backbone = build_backbone(config)
    if described is None:
        report = load_weights(backbone, config)
        described = describe_weights(config)
        if config.weights != "none":
            say(f"{config.name} from {config.weights}: {report}")
    return SaliencyNet(config, backbone, config.resolved_head.build(backbone), described)


def build_backbone(config: NetworkConfig) -> Backbone:
    """The backbone that a configuration names, with random weights (`usod.models.weights.load_weights` fills them).

    It, or its batch norms, are frozen where the configuration says so.
    """
    backbone = config.entry.build(config)
    if config.frozen:
        return FrozenEncoder(backbone, config.features.layers or backbone.frozen_layers, config.features.size)
    if config.freeze_batchnorm:
        backbone.freeze_batchnorm(affine=config.freeze_batchnorm_affine)
    return backbone
