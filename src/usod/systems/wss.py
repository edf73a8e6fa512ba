"""WSS: Learning to Detect Salient Objects with Image-level Supervision (Wang et al., CVPR 2017).

1. A network learns to tell which tags an image has (3.3). Its score maps are masked by a foreground map before they are
   pooled, so that map must be bright where objects are, of whatever kind; a sparsity term keeps it dark elsewhere.
2. Self-training (3.4): the foreground maps, refined by an iterative CRF on superpixels, are labels for a network of
   finer resolution; twice.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from usod.data.mapstore import ImageStore, MapStore
from usod.errors import UsodError
from usod.models.config import NetworkConfig
from usod.models.fin import Tagged
from usod.models.registry import FinOptions, TagsOptions
from usod.models.saliency_net import SaliencyNet
from usod.progress import say
from usod.settings.sections import PretrainConfig, SelfTrainConfig
from usod.training.corrections import NO_CORRECTIONS, Corrections
from usod.training.fit import Trained, fit, new_network
from usod.training.inputs import Inputs
from usod.training.loop import Schedule
from usod.training.objective import Memoryless, as_it_is, as_logits
from usod.training.parallel import Process
from usod.training.placement import Kept


class Tagging(Memoryless):
    """Objective of the pretraining: cross-entropy of the tags and lambda |F|_1 (Eq. 6 and section 3.3).

    Parameters
    ----------
    tags : (N, K) bool
    """

    read = staticmethod(as_it_is)

    def __init__(self, tags: np.ndarray, config: PretrainConfig, device: torch.device | str = "cpu"):
        self.config = config
        self.tags = Kept(tags, device)

    def loss(self, prediction: Tagged, rows: Tensor) -> Tensor:
        return tagging_loss(prediction, self.tags[rows].float(), self.config)


def tagging_loss(prediction: Tagged, tags: Tensor, config: PretrainConfig) -> Tensor:
    """-sum_k log p(k), or log(1 - p(k)) for the tags that an image lacks, + lambda |F|_1; (B,)."""
    scores = prediction.scores.float()
    present, absent = functional.softplus(-scores) * tags, functional.softplus(scores) * (1 - tags)
    sparsity = prediction.foreground.float().sum((1, 2))  # F >= 0
    return present.sum(1) + config.negative_weight * absent.sum(1) + config.sparsity * sparsity


class Bootstrapping(Memoryless):
    """Objective of the self-training: cross-entropy with delta r + (1 - delta) [f > 0.5] as the target (section 3.4).

    Parameters
    ----------
    labels : (N, H, W) uint8, r
    """

    def __init__(self, labels: np.ndarray, delta: float, device: torch.device | str = "cpu"):
        self.delta = delta
        self.labels = Kept(labels, device)

    read = staticmethod(as_logits)

    def loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        return bootstrapping_loss(logits, self.labels[rows].float() / 255, self.delta)


def bootstrapping_loss(logits: Tensor, label: Tensor, delta: float = 0.95) -> Tensor:
    """L_B of section 3.4, its sum over pixels divided by their number; (B, H, W) -> (B,).

    It is taken of the logits: a sigmoid that is rounded to 0 or 1, from logits of 17 on, has no gradient.
    """
    target = delta * label + (1 - delta) * (logits.detach() > 0).to(label)
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((1, 2))


def pretrain(
    images: ImageStore,
    tags: np.ndarray,
    config: PretrainConfig,
    network: NetworkConfig,
    device: torch.device,
    work: Path | None = None,
    identity: Any = None,
) -> Trained:
    """Learn a foreground map from image-level tags (section 3.3).

    Parameters
    ----------
    tags : (N, K) bool, in the images' order
    network : its head becomes `tags` with K classes
    """
    process = Process(device)
    pixels = process.read_all(images)
    say(f"{tags.shape[1]} tags; an image has {tags.sum(1).mean():.1f} of them")
    network = network.with_head(network.head_as(TagsOptions).model_copy(update={"classes": tags.shape[1]}))
    net = new_network(network, config.seed)
    objective, schedule = Tagging(tags, config, device), Schedule.of(config, config.lr, config.seed)
    history = fit("WSS, tags", net, Inputs(pixels, device), objective, config, schedule, process, work, identity)
    return Trained(net, history)


def selftrain(
    images: ImageStore,
    labels: MapStore,
    config: SelfTrainConfig,
    before: SaliencyNet,
    device: torch.device,
    work: Path | None = None,
    identity: Any = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> Trained:
    """One round: fine-tune the extended foreground net on the estimated ground truth (section 3.4).

    Parameters
    ----------
    labels : the maps of the network before after the iterative CRF (`usod.crf.superpixel`), ids and size as the images'
    before : the network of the pretraining or of the round before: its backbone and what the heads have in common,
        which learn with `lr`; what is new learns `head_lr_factor` times faster
    corrections : human masks, which are the estimates of their images

    Raises
    ------
    UsodError
        If the labels do not fit the images, or the network before is not one of WSS.
    """
    labels.fit_to(images)
    network = before.config.with_head(FinOptions())
    net = new_network(network, config.seed, described=before.weights)  # all that was learnt comes from before
    own, theirs = net.state_dict(), before.state_dict()
    common = {name: value for name, value in theirs.items() if name in own and own[name].shape == value.shape}
    if not any(name.startswith("head.foreground") for name in common):
        raise UsodError(f"the model before has the head {before.config.resolved_head.name}; give one of usod wss")
    net.load_state_dict(common, strict=False)
    process = Process(device)
    estimates = process.read_all(labels, images.ids)
    corrections.put(estimates)
    objective = Bootstrapping(estimates, config.delta, device)
    schedule = Schedule.of(config, config.lr, config.seed, learnt=frozenset(common))
    inputs = Inputs(process.read_all(images), device)
    history = fit("WSS", net, inputs, objective, config, schedule, process, work, identity, corrections)
    return Trained(net, history)
