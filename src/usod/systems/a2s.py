"""A2S: Activation to Saliency (Zhou et al., TCSVT 2023).

1. A frozen, pretrained encoder answers to objects. Four small blocks learn, without any label, to gather its features
   into one activation map whose pixels lie far from the map's mean; CRF and median filter make pseudo-labels of it.
2. A detector with residual attention learns these labels, and after two epochs rectifies them with its predictions.

A2S-v2 (Zhou et al., CVPR 2023) and A2S-v3 (Yuan et al., IJCAI 2024) are settings of the two stages: `loss: csd` in the
first, `loss: iou`, `second_scale` and `refinement` in the second. The detector is A2S's, not the ones of their code.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from usod.crf import DenseCRF
from usod.data.features import FeatureStore
from usod.data.mapstore import ImageStore, MapStore
from usod.data.store import to_uint8
from usod.errors import UsageError, UsodError
from usod.models.activation import Decisions
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.saliency_net import SaliencyNet
from usod.models.stages import NORMALISATIONS
from usod.systems.a2s_labels import decisions
from usod.systems.a2s_settings import ActivationConfig, RectifyConfig
from usod.training.a2s_losses import adb_loss, detection_loss, iou_loss
from usod.training.corrections import NO_CORRECTIONS, Corrections
from usod.training.crf import crf_of
from usod.training.fit import Trained, fit, new_network
from usod.training.inputs import Inputs
from usod.training.loop import Schedule
from usod.training.moving_average import Averaging, MovingAverage
from usod.training.objective import Memoryless, as_it_is, as_logits
from usod.training.parallel import Process
from usod.training.pixel_adaptive import refine
from usod.training.scales import Seen, as_seen, disagreement, passes
from usod.training.texture_matching import distilling_loss, texture_loss, uncertain_band

_DEFAULTS = ActivationConfig()
_DETECTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "detection": detection_loss,
    "iou": lambda logits, target: iou_loss(logits.sigmoid(), target.to(logits)),
}


class Watching:
    """What an objective has that keeps what the network makes of some images, before training and after every epoch.

    Attributes
    ----------
    looks : (W, H / 2, W / 2) uint8 each
    """

    def watch(self, images: np.ndarray | None) -> None:
        """Keep the maps of `images` (W, H, W, 3) uint8."""
        self.watched = np.empty((0, 2, 2, 3), np.uint8) if images is None else images
        self.looks: list[Tensor] = []

    def look(self, network: SaliencyNet) -> None:
        maps = [functional.avg_pool2d(part.sigmoid(), 2, ceil_mode=True) for part in decisions(network, self.watched)]
        self.looks.append((torch.cat(maps) * 255).round().byte().cpu() if maps else torch.empty(0, 1, 1))


class Activation(Watching, Memoryless):
    """Objective of stage 1: L_adb on the decision values of F and, weighted, on those of F3, F4, F5 (Eq. 4).

    In every step half of the pixels are drawn anew and the others left out.

    Parameters
    ----------
    watched : (W, H, W, 3) uint8, images whose activation is kept
    """

    read = staticmethod(as_it_is)

    def __init__(self, config: ActivationConfig, watched: np.ndarray | None = None):
        self.config = config
        self.watch(watched)

    def loss(self, decisions: Decisions, rows: Tensor) -> Tensor:
        weighted = [(1.0, decisions.fused), *zip(self.config.auxiliary_weights, decisions.auxiliary, strict=True)]
        return torch.stack([weight * self._adb(theta.float()) for weight, theta in weighted if weight]).sum(0)

    def _adb(self, theta: Tensor) -> Tensor:
        kept = torch.rand_like(theta) >= self.config.drop if self.config.drop else None
        return adb_loss(theta, self.config.alpha, kept)

    def state_dict(self) -> dict[str, Any]:
        return {"looks": self.looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.looks = list(state["looks"])


class Distilling(Activation):
    """Objective of stage 1 of A2S-v2 and A2S-v3: L_csd + 0.05 L_btm of two sizes, and the difference of their maps.

    Parameters
    ----------
    std : of the colours that the network's images are divided by
    """

    read = staticmethod(as_seen)

    def __init__(
        self,
        config: ActivationConfig,
        watched: np.ndarray | None = None,
        std: Sequence[float] = NORMALISATIONS["imagenet"][1],
    ):
        super().__init__(config, watched)
        self.epoch = 1
        # The sharpness of L_btm is meant for colours that ImageNet's deviation has normalised.
        self.colours = (torch.tensor(std) / torch.tensor(NORMALISATIONS["imagenet"][1]))[:, None, None]

    def begin(self, epoch: int) -> None:
        self.epoch = epoch

    def see(self, forward: Callable[..., Any], inputs: Sequence[Tensor], named: dict[str, Tensor]) -> Any:
        return passes(forward, inputs[0], self.config.csd.scales, named)

    def loss(self, seen: list[Seen], rows: Tensor) -> Tensor:  # type: ignore[override]
        first, others = seen[0], seen[1:]
        agreement = [self.config.csd.agreement * disagreement(other.map, first.map) for other in others]
        return torch.stack([*map(self._of_one_size, seen), *agreement]).sum(0)

    def _of_one_size(self, seen: Seen) -> Tensor:
        csd, texture, epochs = self.config.csd, self.config.csd.texture, self.config.epochs
        band = uncertain_band(self.epoch, epochs, csd.uncertain, csd.uncertain_fall)
        loss = distilling_loss(seen.map, self.epoch, epochs, band)
        if not texture.weight:
            return loss
        image = seen.image * self.colours.to(seen.image.device)
        told = (texture.reduction, texture.window, texture.contour, texture.sharpness)
        return loss + texture.weight * texture_loss(seen.map, image, *told)


class Rectification(Watching, Averaging):
    """Objective of stage 2: L_det against pseudo-labels that follow the predictions (online label rectifying).

    The labels are learnt as they are (Eq. 12) or, with `hard_labels`, what is above one half of them.

    G^(j+1) = lambda G^j + (1 - lambda) Y^j (Eq. 14), lambda being 1 for the first epochs. With a CRF on Y^j this is the
    historical moving average that the paper compares with (section IV-H).

    Parameters
    ----------
    labels : (N, H, W) uint8, G^1
    device : where the predictions will be; the labels are kept there if they fit
    crf : of the same images, for the moving average
    watched : (W, H, W, 3) uint8, images whose predictions are kept
    """

    read = staticmethod(as_logits)

    def __init__(
        self,
        labels: np.ndarray,
        config: RectifyConfig,
        device: torch.device | str = "cpu",
        crf: DenseCRF | None = None,
        watched: np.ndarray | None = None,
    ):
        self.config = config
        self.watch(watched)
        self.detection = _DETECTION[config.loss]
        count, *size = labels.shape
        untouched = config.untouched_epochs
        super().__init__(MovingAverage(count, (size[0], size[1]), config.keep, False, device, labels, untouched), crf)

    def label(self, rows: Tensor) -> Tensor:
        """What is now learnt of the images: (B, H, W) in [0, 1]."""
        label = self.average[rows].float()
        return (label > 0.5).float() if self.config.hard_labels else label

    def loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        return self.detection(logits, self.label(rows))

    def observe(self, logits: Tensor, rows: Tensor) -> Tensor:
        return super().observe(logits.sigmoid(), rows)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"looks": self.looks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.looks = list(state["looks"])


class RefinedRectification(Rectification):
    """Objective of stage 2 of A2S-v3: a second size, and labels that follow refined predictions, too.

    The loss is that of the image's own size, half of it at another one, and the squared difference of the map there
    from the first, which has no gradient of it. G^(j+1) = 0.2 G^j + 0.6 Y^j + 0.2 PAR(Y^j).
    """

    read = staticmethod(as_seen)

    group = 0  # the refinement looks at what the network saw

    def see(self, forward: Callable[..., Any], inputs: Sequence[Tensor], named: dict[str, Tensor]) -> Any:
        second = self.config.second_scale
        return passes(forward, inputs[0], second.scales if second else (), named)

    def loss(self, seen: list[Seen], rows: Tensor) -> Tensor:  # type: ignore[override]
        first, label = seen[0], self.label(rows)
        loss, second = self.detection(first.logits, label), self.config.second_scale
        if second is not None:
            other = seen[1]
            there = functional.interpolate(label[:, None], other.logits.shape[-2:], mode="nearest")[:, 0]
            loss = loss + second.weight * self.detection(other.logits, there)
            loss = loss + second.agreement * disagreement(first.map.detach(), other.map)
        return loss

    def observe(self, seen: list[Seen], rows: Tensor) -> Tensor:  # type: ignore[override]
        """(1 - w) Y + w PAR(Y), w being the refinement's share of what a label does not keep."""
        prediction, par = super().observe(seen[0].logits.detach(), rows), self.config.refinement
        if par is None or not self.average.touches(rows):
            return prediction
        refined = refine(prediction, seen[0].image, par.dilations, par.iterations)
        return prediction.lerp(refined, par.weight / (1 - self.config.keep))


def stage1(
    images: ImageStore,
    config: ActivationConfig,
    network: NetworkConfig,
    device: torch.device,
    work: Path | None = None,
    identity: Any = None,
) -> Trained:
    """Stage 1: learn activation maps without labels; `usod.systems.a2s_labels` turns them into pseudo-labels.

    Parameters
    ----------
    images : the unlabelled images
    network : its backbone is the encoder; the head becomes the one of `config.loss`, and the encoder frozen unless
        `config.train_encoder`
    work, identity : resume state, and what determines the result beside the settings

    Returns
    -------
    without labels; in `notes` the activations `looks`, (W, H / 2, W / 2) uint8 each, of the images numbered `watched`
    before training and after every epoch

    Raises
    ------
    UsodError
        If the backbone has no pretrained weights, which are all that this stage lives on, or they cannot be loaded.
    """
    if network.weights == "none" and not config.random_encoder:
        raise UsodError(
            "network.weights: none; stage 1 of A2S gathers what a pretrained encoder knows: give its weights "
            "(MoCo v2, a torchvision name), or set random_encoder: true to see what comes out without"
        )
    pixels = images.read_all()
    torch.manual_seed(config.seed)
    net = activation_network(network, config)
    watched = _watched(len(pixels), config.watch)
    objective: Activation = Activation(config, pixels[watched])
    if config.loss == "csd":
        objective = Distilling(config, pixels[watched], net.mean_std[1])
    schedule, inputs = Schedule.of(config, config.lr, config.seed), Inputs(pixels, device)
    history = fit("A2S stage 1", net, inputs, objective, config, schedule, Process(device), work, identity)
    return Trained(net, history, notes=_notes(watched, objective))


def activation_network(network: NetworkConfig, config: ActivationConfig = _DEFAULTS) -> SaliencyNet:
    """The transformed network of Eq. 1: the encoder of `network`, frozen, and the head of the loss."""
    settings = config.network_of(network)
    if network.weights != "none" and not config.train_encoder and network.entry.batchnorm:
        settings = settings.model_copy(update={"freeze_batchnorm": not config.batch_statistics})
    net = build_network(settings)
    net.backbone.requires_grad_(config.train_encoder)
    return net


def stage2(
    images: ImageStore,
    labels: MapStore,
    config: RectifyConfig,
    network: NetworkConfig,
    process: Process,
    features: FeatureStore | None = None,
    work: Path | None = None,
    identity: Any = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> Trained:
    """Stage 2: train a detector on pseudo-labels, A2S's own or any other system's, and rectify them on the way.

    Parameters
    ----------
    labels : same ids and size as the images
    network : A2S's detector is `head: ram`; any other head learns too
    features : of the network's frozen encoder for these images, where they were computed
    corrections : human masks, which are the labels of their images, and are not rectified

    Raises
    ------
    UsodError
        If a label is missing or of another size.
    UsageError
        If features of one size are to be learnt from at two.

    Returns
    -------
    with the rectified `labels`; in `notes` as of `stage1`, the predictions
    """
    if features is not None and config.second_scale is not None:
        raise UsageError("second_scale: features that are kept are those of one size; train without them, or set null")
    labels.fit_to(images)
    pixels, targets = process.read_all(images), process.read_all(labels, images.ids)
    corrections.put(targets)
    net = new_network(network, config.seed)
    kind = Rectification if config.second_scale is None and config.refinement is None else RefinedRectification
    watched = _watched(len(pixels), config.watch)
    crf = crf_of(pixels, config.crf, process.device)
    objective = kind(targets, config, process.device, crf, pixels[watched])
    schedule = Schedule.of(config, config.lr, config.seed)
    par = config.refinement is not None
    inputs = Inputs.with_features(pixels, images, net, process.device, features, wanted=par)
    history = fit("A2S stage 2", net, inputs, objective, config, schedule, process, work, identity, corrections)
    rectified = to_uint8(objective.average.read(slice(None)).numpy())
    return Trained(net, history, rectified, _notes(watched, objective))


def _watched(count: int, watch: int) -> list[int]:
    """Numbers of `watch` of `count` images, spread evenly."""
    return np.linspace(0, count - 1, min(watch, count)).round().astype(int).tolist()


def _notes(watched: list[int], objective: Watching) -> dict[str, Any]:
    return {"watched": watched, "looks": [look.numpy() for look in objective.looks]}
