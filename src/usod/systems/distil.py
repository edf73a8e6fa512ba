"""Distillation: networks that learn the maps of whatever came before, sharpened by the dense CRF.

What several methods agree on, a small head on frozen features learns; where it and the image's edges agree, the CRF
puts the border. Learnt again, those labels are a better teacher than the first ones: every image is now labelled by
what was learnt from all of them. The same idea is DeepUSPS's self-supervision (3.2), noisy students (Xie et al., CVPR
2020) and the second stages of A2S and SelfMask. The last network, the student, may be small and learn at full
resolution.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from usod.data.features import FeatureStore
from usod.data.mapstore import ImageStore, MapStore
from usod.models.config import NetworkConfig
from usod.settings.sections import enough_epochs
from usod.systems.distil_settings import LearnConfig
from usod.training.a2s_losses import iou_loss
from usod.training.corrections import NO_CORRECTIONS, Corrections
from usod.training.fit import Trained, fit, new_network
from usod.training.inputs import Inputs
from usod.training.loop import Schedule
from usod.training.losses import told_of_nothing
from usod.training.objective import AsShown
from usod.training.parallel import Process
from usod.training.placement import Kept
from usod.training.views import View


class Distillation(AsShown):
    """Objective: the IoU loss against the labels and, weighted, binary cross-entropy.

    Parameters
    ----------
    labels : (N, H, W) uint8, 0..255 = [0, 1]
    device : where the predictions will be
    nothing : (N,) bool on the CPU, images whose empty label is a person's
    """

    def __init__(
        self,
        labels: np.ndarray,
        config: LearnConfig,
        device: torch.device | str = "cpu",
        nothing: Tensor | None = None,
    ):
        self.labels = Kept(labels, device)
        self.nothing = nothing if nothing is not None and nothing.any() else None
        self.config = config

    def read(self, output: Tensor, view: View) -> Tensor:
        """Logits (B, 1, h, w) -> (B, h, w), of what was shown: a sigmoid rounded to 0 or 1 has no gradient."""
        self.view = view
        return output.float()[:, 0]

    def loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        label = self.shown(self.labels[rows].float() / 255)
        if self.config.binary:
            label = (label > 0.5).float()
        loss = told_of_nothing(iou_loss, logits.sigmoid(), label, None if self.nothing is None else self.nothing[rows])
        if self.config.cross_entropy:
            entropy = functional.binary_cross_entropy_with_logits(logits, label, reduction="none").mean((1, 2))
            loss = loss + self.config.cross_entropy * entropy
        return loss


def learn(
    images: ImageStore,
    labels: MapStore,
    config: LearnConfig,
    network: NetworkConfig,
    process: Process,
    features: FeatureStore | None = None,
    work: Path | None = None,
    identity: Any = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> Trained:
    """Train a new network on labels: one round, or the student.

    Parameters
    ----------
    labels : same ids and size as the images
    features : of the network's frozen encoder for these images, where they were computed
    work, identity : resume state, and what determines the result beside the settings
    corrections : human masks, which are the labels of their images

    Raises
    ------
    UsodError
        If a label is missing or of another size, or a weight file cannot be loaded.
    """
    labels.fit_to(images)
    pixels, targets = process.read_all(images), process.read_all(labels, images.ids)
    corrections.put(targets)
    config = enough_epochs(config, len(pixels))
    net = new_network(network, config.seed)
    inputs = Inputs.with_features(pixels, images, net, process.device, features)
    objective = Distillation(targets, config, process.device, corrections.nothing(len(pixels)))
    schedule = Schedule.of(config, config.lr, config.seed)
    if network.frozen:  # its features are those of the images as they are
        schedule = replace(schedule, augment=None)
    history = fit("distillation", net, inputs, objective, config, schedule, process, work, identity, corrections)
    return Trained(net, history)
