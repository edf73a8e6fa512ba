"""From a configuration to a network with its pretrained weights."""

from torch import nn

from usod.models.activation import ActivationHead
from usod.models.backbones import build_backbone
from usod.models.config import NetworkConfig
from usod.models.fin import FINHead, TagHead
from usod.models.heads import FCNHead, SkipHead
from usod.models.ram import RAMHead
from usod.models.relation import RelationNet
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
    if config.resolved_head == "relation":
        return RelationNet(config, backbone, describe_weights(config))
    if config.resolved_head == "fcn":
        head: nn.Module = FCNHead(backbone.channels[-1], backbone.strides[-1], config.head_init_std)
    elif config.resolved_head == "ram":
        head = RAMHead(backbone.channels, config.ram_attention)
    elif config.resolved_head == "tags":
        average = config.foreground == "average"
        head = TagHead(backbone.channels[-1], config.classes, config.pooling, config.pooling_mu, average)
    elif config.resolved_head == "fin":
        head = FINHead(backbone.channels, backbone.strides)
    elif config.resolved_head == "activation":
        head = ActivationHead(backbone.channels, config.boundary)
    else:
        width = 2 * config.light_width if config.name == "light" else 64
        head = SkipHead(backbone.channels, backbone.strides, width)
    return SaliencyNet(config, backbone, head, describe_weights(config))
