"""From a configuration to a network with its pretrained weights."""

from usod.models.backbones import build_backbone
from usod.models.config import NetworkConfig
from usod.models.saliency_net import SaliencyNet
from usod.models.weights import describe_weights, load_weights
from usod.progress import say


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
    return config.resolved_head.network(config, backbone, describe_weights(config))
