"""Losses of A2S-v2's stage 1 (Zhou et al., CVPR 2023): confidence-aware distilling, boundary-aware texture matching."""

import torch
from torch import Tensor
from torch.nn import functional

from usod.models.ram import resize


def distilling_loss(probability: Tensor, epoch: int, epochs: int, uncertain: float = 0.0) -> Tensor:
    """L_csd: pushes every pixel away from 0.5, at first those that are far from it already, later all alike.

    With gamma = 2^(1 - (e - 1) / E) in epoch e of E the loss is the mean of 0.5^gamma - |p - 0.5|^gamma (A2S-v2). In
    A2S-v3's progressive curriculum (Yuan et al., IJCAI 2024) uncertain pixels have none; the mean is still over all.

    Parameters
    ----------
    probability : (B, H, W) in [0, 1]
    epoch, epochs : e, counted from 1, and E
    uncertain : pixels with |p - 0.5| below it have no loss

    Returns
    -------
    (B,) losses in [0, 0.5]
    """
    gamma = 2 ** (1 - (epoch - 1) / epochs)
    distance = (probability - 0.5).abs()
    loss = 0.5**gamma - distance**gamma
    return (loss * (distance >= uncertain)).mean((-2, -1))


def uncertain_band(epoch: int, epochs: int, start: float, fall: float) -> float:
    """Half the width of the band around 0.5 without a loss in epoch e of E: start - fall e / E (A2S-v3), 0 or more."""
    return max(start - fall * epoch / epochs, 0.0)


def contour(probability: Tensor, side: int = 5) -> Tensor:
    """Pixels near a border of p > 0.5: its dilation minus its erosion by a square; (B, H, W) bool of (B, H, W)."""
    salient = (probability > 0.5).float()[:, None]
    dilated = functional.max_pool2d(salient, side, stride=1, padding=side // 2)
    eroded = -functional.max_pool2d(-salient, side, stride=1, padding=side // 2)
    return (dilated > eroded)[:, 0]


def texture_loss(
    probability: Tensor,
    image: Tensor,
    reduction: int = 4,
    window: int = 11,
    side: int = 5,
    sharpness: float = 200.0,
) -> Tensor:
    """L_btm: on both sides of a contour, pixels of the same colour are to have the same saliency (A2S-v2).

    With w_ij = exp(-sharpness sum_c (I_j - I_i)^2) the loss is the mean over the contour's pixels i of
    sum_j w_ij |p_j - p_i|, j being the pixels of the image in the window around i.

    Parameters
    ----------
    probability : (B, H, W) in [0, 1]
    image : (B, 3, H, W), normalised with ImageNet's mean and standard deviation
    reduction : maps and images are brought to 1 / reduction of their size first, bilinearly
    window, side : odd numbers of pixels at that size: of the window, and of `contour`'s square
    sharpness : see above

    Returns
    -------
    (B,) losses, 0 or more; 0 for a map without a contour
    """
    size = [max(length // reduction, 1) for length in probability.shape[-2:]]
    small, colours = resize(probability[:, None], size), resize(image, size)
    with torch.no_grad():
        difference = _neighbours(colours, window) - colours[:, :, None]
        affinity = torch.exp(-sharpness * (difference**2).sum(1))
        affinity = affinity * _neighbours(torch.ones_like(small), window)[:, 0]  # beyond the border there is nothing
        near = contour(small[:, 0], side)
    step = (_neighbours(small, window) - small[:, :, None])[:, 0].abs()
    return ((affinity * step).sum(1) * near).sum((-2, -1)) / near.sum((-2, -1)).clamp(min=1)


def _neighbours(values: Tensor, window: int) -> Tensor:
    """The window around every pixel, zero beyond the border: (B, C, window^2, H, W) of (B, C, H, W)."""
    batch, channels, height, width = values.shape
    return functional.unfold(values, window, padding=window // 2).view(batch, channels, window**2, height, width)
