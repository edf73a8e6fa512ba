"""DeepUSPS: Deep Robust Unsupervised Saliency Prediction With Self-Supervision (Nguyen et al., NeurIPS 2019).

1. A handcrafted method gives a noisy map per image.
2. Inter-image consistency (3.1): its maps are binarised and a network learns to produce them. The network's
   predictions of every epoch, sharpened by a dense CRF, are averaged over time, image by image: the MVA.
3. Self-supervision (3.2): a fresh network learns the MVA of the stage before; again its predictions are averaged.
4. Fusion (3.3): one network learns the refined labels of all methods together.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from usod.crf import DenseCRF
from usod.data.features import FeatureStore
from usod.data.mapstore import ImageStore, MapStore
from usod.data.store import to_uint8, to_unit
from usod.models.config import NetworkConfig
from usod.progress import say
from usod.settings.sections import enough_epochs
from usod.systems.deepusps_settings import Binarisation, FuseConfig, RefineConfig
from usod.systems.vote import agreement, discretisation_threshold
from usod.training.corrections import CERTAIN, NO_CORRECTIONS, Corrections
from usod.training.crf import crf_of
from usod.training.fit import Trained, fit, new_network
from usod.training.inputs import Inputs
from usod.training.loop import Schedule
from usod.training.losses import certain_as_label, f_beta_loss, told_of_nothing
from usod.training.moving_average import Averaging, MovingAverage
from usod.training.objective import AsShown
from usod.training.parallel import Process
from usod.training.placement import Kept


class PseudoLabels:
    """Continuous labels of one source and their discretisation l(x, p) = [M(x, p) > gamma].

    Parameters
    ----------
    maps : (N, H, W) uint8
    thresholds : (N,) float32 gamma of each image
    device : where the predictions will be; the maps are kept there if they fit
    nothing : (N,) bool on the CPU, images whose empty label is a person's
    """

    def __init__(
        self,
        maps: np.ndarray,
        thresholds: np.ndarray,
        device: torch.device | str = "cpu",
        nothing: Tensor | None = None,
    ):
        self.maps, self.thresholds = Kept(maps, device), Kept(thresholds, device)
        self.nothing = nothing if nothing is not None and nothing.any() else None

    def loss(
        self,
        probability: Tensor,
        rows: Tensor,
        beta2: float,
        soft_threshold: bool,
        shown: Callable[[Tensor], Tensor] = Tensor.contiguous,
    ) -> Tensor:
        """L_beta of probabilities (B, h, w) against these labels, brought by `shown` into their view: (B,)."""
        label = shown(self.maps[rows].float() / 255)
        gamma = self.thresholds[rows][:, None, None]
        if soft_threshold:
            probability = certain_as_label(probability, label, gamma)
        loss = partial(f_beta_loss, beta2=beta2)
        nothing = None if self.nothing is None else self.nothing[rows]
        return told_of_nothing(loss, probability, (label > gamma).float(), nothing)


def thresholds(maps: np.ndarray, how: Binarisation, corrections: Corrections = NO_CORRECTIONS) -> np.ndarray:
    """gamma of each handcrafted map (section 3.1): (N, H, W) uint8 -> (N,) float32.

    Corrected images have human masks in their place, and do not count in the mean over a data set.
    """
    gamma, own = np.full(len(maps), CERTAIN, np.float32), corrections.others(len(maps))
    if how.threshold is not None:
        gamma[own] = how.threshold
    elif len(own):
        gamma[own] = discretisation_threshold((maps[row] for row in own), how.threshold_factor, how.threshold_scope)
    return gamma


def best_pixels(labels: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Oracle label fusion (section 4.3): at each pixel the label that is nearest to the ground truth.

    Parameters
    ----------
    labels : the refined labels of the methods, each (..., H, W)
    truth : (..., H, W) bool

    Returns
    -------
    (..., H, W) of the labels' dtype: their maximum where the truth is salient, else their minimum
    """
    return np.where(truth, np.maximum.reduce(list(labels)), np.minimum.reduce(list(labels)))


class Refinement(Averaging):
    """Objective of one stage: L_beta against the labels; CRF of every prediction into the moving average."""

    def __init__(self, labels: PseudoLabels, average: MovingAverage, crf: DenseCRF | None, config: RefineConfig):
        super().__init__(average, crf)
        self.labels = labels
        self.config = config

    def loss(self, probability: Tensor, rows: Tensor) -> Tensor:
        return self.labels.loss(probability, rows, self.config.beta2, self.config.soft_threshold)


class Fusion(AsShown):
    """Objective of the fusion: L_en = 1/n sum_i L_beta^i over the n refined label sets (section 3.3).

    Parameters
    ----------
    weights : (N, n) of each image's label sets, which sum to 1: L_en = sum_i w_i L_beta^i; None: 1/n each
    """

    def __init__(self, sources: Sequence[PseudoLabels], config: FuseConfig, weights: Kept | None = None):
        self.sources = sources
        self.config = config
        self.weights = weights

    def loss(self, probability: Tensor, rows: Tensor) -> Tensor:
        beta2, soft = self.config.beta2, self.config.soft_threshold
        each = [source.loss(probability, rows, beta2, soft, self.shown) for source in self.sources]
        losses = torch.stack(each)
        return losses.mean(0) if self.weights is None else (losses * self.weights[rows].T).sum(0)


def refine(
    images: ImageStore,
    maps: MapStore,
    stage: int,
    config: RefineConfig,
    network: NetworkConfig,
    device: torch.device,
    seed: int = 0,
    crf_memory_gb: float | None = None,
    features: FeatureStore | None = None,
    work: Path | None = None,
    identity: Any = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> Trained:
    """One stage for one method: inter-image consistency (stage 0) or self-supervision (stage 1, 2, ...).

    Parameters
    ----------
    images : the unlabelled images
    maps : the handcrafted maps (stage 0) or the MVA labels of the stage before, same ids and size
    stage : chooses the learning rate and the discretisation
    seed : of the new layers and of the order of the images
    features : of the network's frozen encoder for these images, where they were computed
    crf_memory_gb : for CRF lattices that are kept between epochs; None: as `crf_of`
    work : folder for the resume state
    identity : what determines the result beside `config` (digests of the inputs)
    corrections : human masks: what is learnt of their images, and their refined labels

    Raises
    ------
    UsodError
        If a map is missing or of another size, or a weight file cannot be loaded.

    Returns
    -------
    with `labels`, and in `notes` their `movement`: the mean absolute difference, 0..1, from the maps they were learnt
    from
    """
    process = Process(device)
    pixels, labels = _read(process, images, {"labels": maps})
    config = _of_enough_epochs(config, len(pixels))
    later = Binarisation(threshold=config.later_threshold)
    gamma = thresholds(labels["labels"], later if stage else config, corrections)
    say(f"stage {stage}: labels are salient above {gamma.mean():.3f}")
    targets = _targets(f"stage {stage}", labels["labels"], gamma, device, corrections)
    # Re-initialised at every stage from the pretrained weights (3.2); the new layers start anew each time.
    of_stage = seed * 1009 + stage
    net = new_network(network, of_stage)
    crf = crf_of(pixels, config.crf, device, crf_memory_gb)
    average = MovingAverage(len(pixels), images.size, config.alpha, config.bias_correction, device)
    objective = Refinement(targets, average, crf, config)
    schedule = Schedule.of(config, config.lr_of_stage(stage), of_stage)
    inputs = Inputs.with_features(pixels, images, net, device, features)
    history = fit(f"stage {stage}", net, inputs, objective, config, schedule, process, work, identity, corrections)
    refined = np.concatenate([to_uint8(average.read(slice(i, i + 64)).numpy()) for i in range(0, len(pixels), 64)])
    corrections.put(refined)
    movement = float(
        np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(refined, labels["labels"], strict=True)])
    )
    return Trained(net, history, refined, {"movement": movement / 255})


def fuse(
    images: ImageStore,
    sources: Mapping[str, MapStore],
    seed: int,
    config: FuseConfig,
    network: NetworkConfig,
    process: Process,
    features: FeatureStore | None = None,
    work: Path | None = None,
    identity: Any = None,
    unrefined: Mapping[str, Binarisation] | None = None,
    corrections: Corrections = NO_CORRECTIONS,
) -> Trained:
    """Train the saliency network on the refined labels of all methods (section 3.3), in one process or several.

    Parameters
    ----------
    sources : name -> refined labels; one or more
    seed : of the new layers and of the order of the images
    process : this one's device and part in the training (`usod.training.parallel.run`)
    features, corrections : as of `refine`
    unrefined : those of the sources that are handcrafted maps, and how each is binarised (3.1)
    """
    pixels, labels = _read(process, images, sources)
    config = enough_epochs(config, len(pixels))
    net = new_network(network, seed)
    raw = unrefined or {}
    refined = Binarisation(threshold=config.threshold)
    gammas = {name: thresholds(maps, raw.get(name, refined), corrections) for name, maps in labels.items()}
    targets = [
        _targets(f"fusion, {name}", maps, gammas[name], process.device, corrections) for name, maps in labels.items()
    ]
    weights = None
    if config.weights == "agreement":
        weights = Kept(_agreement(list(labels.values()), list(gammas.values())), process.device)
    schedule = Schedule.of(config, config.lr, seed)
    inputs = Inputs.with_features(pixels, images, net, process.device, features)
    objective = Fusion(targets, config, weights)
    same = [{name: how.model_dump() for name, how in raw.items()}, identity]
    history = fit(f"fusion, seed {seed}", net, inputs, objective, config, schedule, process, work, same, corrections)
    return Trained(net, history)


def _of_enough_epochs(config: RefineConfig, images: int) -> RefineConfig:
    """The settings, limits of steps and `alpha` brought into effect: of more, shorter epochs each forgets less."""
    longer = enough_epochs(config, images)
    return longer.model_copy(update={"alpha": config.alpha ** (config.epochs / longer.epochs)})


def _targets(
    where: str, maps: np.ndarray, gamma: np.ndarray, device: torch.device, corrections: Corrections
) -> PseudoLabels:
    """What is learnt of a source's maps, human masks in the place of some.

    A method's labels without a salient pixel are counted: their loss is 1 whatever is predicted, they teach nothing.
    """
    empty = sum(int(maps[row].max()) <= 255 * gamma[row] for row in corrections.others(len(maps)))
    if empty:
        say(f"{where}: {empty} of {len(maps)} labels are empty, nothing is learnt from them")
    corrections.put(maps)
    return PseudoLabels(maps, gamma, device, corrections.nothing(len(maps)))


def _agreement(labels: Sequence[np.ndarray], thresholds: Sequence[np.ndarray]) -> np.ndarray:
    """Weights (N, n) float32 of n label sets, (N, H, W) uint8 each, by their agreement image by image."""
    found = np.empty((len(labels[0]), len(labels)), np.float32)
    for i in range(len(found)):
        found[i] = agreement(
            np.stack([to_unit(maps[i]) > gamma[i] for maps, gamma in zip(labels, thresholds, strict=True)])
        )
    return found


def is_stable(attributes: Mapping[str, Any], stage: int, config: RefineConfig) -> bool:
    """Whether the labels that stage >= 1 starts from have settled (3.2: iterate until the MVA is stable).

    `attributes` are those of the labels' MapStore; its `movement` is what its own stage changed.
    """
    return stage > 0 and config.stable is not None and attributes.get("movement", 1.0) < config.stable


def _read(
    process: Process, images: ImageStore, sources: Mapping[str, MapStore]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    for store in sources.values():
        store.fit_to(images)
    labels = {name: process.read_all(store, images.ids) for name, store in sources.items()}
    return process.read_all(images), labels
