"""One training, from its settings to its result: what all systems do in the same way."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.saliency_net import SaliencyNet
from usod.settings.sections import Section
from usod.training.checkpoint import Checkpoint
from usod.training.corrections import NO_CORRECTIONS, Corrections
from usod.training.inputs import Inputs
from usod.training.loop import Schedule, Trainer
from usod.training.objective import Objective
from usod.training.parallel import Process


@dataclass(frozen=True)
class Trained:
    """What a training hands on.

    Attributes
    ----------
    network, history : the trained network, and one row per epoch
    labels : (N, H, W) uint8 of its training images; empty where it makes none
    notes : what else the system has to say, by name
    """

    network: SaliencyNet
    history: list[dict[str, float]]
    labels: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0), np.uint8))
    notes: dict[str, Any] = field(default_factory=dict)


def new_network(config: NetworkConfig, seed: int, described: dict[str, str] | None = None) -> SaliencyNet:
    """The network with its pretrained weights; what is new in it is drawn from `seed`. As `build_network`."""
    torch.manual_seed(seed)
    return build_network(config, described=described)


def working_size(images: tuple[int, int], network: NetworkConfig, shown: int | None) -> tuple[int, int]:
    """(height, width) that a network works at after it has learnt from `images` of a size, shown to it at another."""
    return images if shown is None or network.frozen else (shown, shown)


def fit(
    name: str,
    network: SaliencyNet,
    inputs: Inputs,
    objective: Objective,
    settings: Section,
    schedule: Schedule,
    process: Process,
    work: Path | None = None,
    identity: Any = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> list[dict[str, float]]:
    """Train `network`, going on where an earlier try of the same training stopped; one history row per epoch.

    Parameters
    ----------
    name : for the log
    inputs : what the network takes of every image
    settings : of the step, in full: they are part of what makes it the same training
    work, identity : folder of the resume state (None: none is kept), and what determines the result beside `settings`,
        the network and the seed (digests of the inputs)
    corrections : human masks, which the labels of `objective` hold already (`Corrections.put`)
    """
    network_is = network.config.model_dump(mode="json"), network.weights
    same = [settings.model_dump(), network_is, name, schedule.seed, inputs.features_kept, identity]
    taught = corrections.teach(objective, len(inputs))
    return Trainer(network, inputs, taught, schedule, process, Checkpoint(work, same), name).fit()
