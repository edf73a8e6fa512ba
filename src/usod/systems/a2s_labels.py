"""A2S's pseudo-labels G of any images, from the activations of its first stage (Zhou et al., TCSVT 2023, Eq. 6)."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor

from usod.crf import CRFParams, Refiner
from usod.data.images import reduced_size, resize_image
from usod.devices import sent
from usod.models.activation import inter_class_variance
from usod.models.ram import resize
from usod.models.saliency_net import SaliencyNet
from usod.systems.a2s_settings import PseudoLabelConfig


def pseudo_labels(
    network: SaliencyNet, images: Iterable[np.ndarray], size: tuple[int, int], config: PseudoLabelConfig
) -> Iterator[np.ndarray]:
    """G = MF(CRF(sigmoid(sign(F) theta))) (Eq. 6).

    Parameters
    ----------
    network : of stage 1, on the device to work on
    images : (H, W, 3) uint8 RGB, of any sizes
    size : (height, width), the working size

    Yields
    ------
    bool, of `refined_size`
    """
    network.eval()
    crf = Refiner(CRFParams(**config.crf.model_dump())) if config.crf is not None else None
    for image in images:
        reduced = resize_image(image, reduced_size(image.shape[:2], config.max_side))
        small = resize_image(reduced, size)
        shown, refined = (reduced if where == "own" else small for where in (config.shown, config.refined))
        (decision,) = decisions(network, shown[None])
        saliency = resize(decision[:, None], refined.shape[:2])[:, 0].sigmoid()
        otsu = config.threshold == "otsu"
        if config.confidence is not None and (otsu or config.crf is not None):
            saliency = as_certain(saliency, config.confidence, otsu)
        if crf is not None:
            saliency = crf(refined[None], saliency)
        label = (saliency[0] > 0.5).cpu().numpy()
        yield ndimage.median_filter(label, size=config.median) if config.median > 1 else label


def refined_size(own: Sequence[int], size: tuple[int, int], config: PseudoLabelConfig) -> tuple[int, int]:
    """(height, width) at which CRF and median filter work, of an image of its `own` size."""
    return size if config.refined == "working" else reduced_size(own, config.max_side)


def decisions(network: SaliencyNet, pixels: np.ndarray, batch: int = 8) -> Iterator[Tensor]:
    """sign(F) theta of (N, H, W, 3) uint8 images, batch by batch: (B, H, W) float32."""
    device = next(network.parameters()).device
    for start in range(0, len(pixels), batch):
        inputs = network.as_input(sent(torch.tensor(pixels[start : start + batch]), device))
        with torch.no_grad():
            decision = network(inputs).float()[:, 0]
        yield decision


def as_certain(saliency: Tensor, confidence: float, otsu: bool = False) -> Tensor:
    """What the released code gives the CRF: hard labels of maps (B, H, W), trusted to `confidence`.

    Salient is what is above half of each image's stretched map or, as in A2S-v2, above its Otsu threshold.
    """
    if otsu:
        return torch.where(saliency > _otsu(saliency.flatten(1))[:, None, None], confidence, 1 - confidence)
    low, high = saliency.amin((-2, -1), keepdim=True), saliency.amax((-2, -1), keepdim=True)
    hard = (saliency - low) > 0.5 * (high - low)
    return torch.where(hard, confidence, 1 - confidence)


def thresholds(decision: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Three thresholds of activation maps M, each stretched to 0..1 (section III-A).

    Parameters
    ----------
    decision : (B, H, W), M but for its sign and mean, which change nothing

    Returns
    -------
    the maps (B, H * W), and otsu, mean, median -> (B,)
    """
    flat = decision.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    flat = (flat - low) / (high - low).clamp(min=1e-12)
    return flat, {"otsu": _otsu(flat), "mean": flat.mean(1), "median": flat.median(1).values}


def activation_variance(network: SaliencyNet, pixels: np.ndarray) -> dict[str, float]:
    """How well three thresholds divide the activation maps (Table I).

    Parameters
    ----------
    network : an `activation_network`, before or after its training
    pixels : (N, H, W, 3) uint8

    Returns
    -------
    otsu, mean, median -> inter-class variance V (Eq. 2), 0..0.25, averaged over the images
    """
    network.eval()
    totals: dict[str, float] = {}
    for decision in decisions(network, pixels):
        flat, found = thresholds(decision)
        for name, threshold in found.items():
            totals[name] = totals.get(name, 0.0) + float(inter_class_variance(flat[:, None], threshold).sum())
    return {name: total / len(pixels) for name, total in totals.items()}


def _otsu(rows: Tensor) -> Tensor:
    """Otsu's threshold of each row, of a constant one its value: (B,) of (B, N)."""
    found = [threshold_otsu(row) for row in rows.cpu().numpy()]
    return torch.tensor(found).to(rows)
