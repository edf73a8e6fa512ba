"""Losses of A2S (Zhou et al., TCSVT 2023): the adaptive decision boundary, and the detector's BCE + SSIM + IoU."""

import torch
from torch import Tensor
from torch.nn import functional


def adb_loss(decision: Tensor, alpha: float = 0.1, kept: Tensor | None = None) -> Tensor:
    """L_adb: pushes every pixel away from the adaptive decision boundary theta = 0 (Eq. 4).

    With D = |sigmoid(theta) - 0.5| the loss is minus the mean of D^2 + alpha D. The square leads where a pixel is far
    off the boundary already; the absolute value keeps a gradient for those close to it.

    Parameters
    ----------
    decision : (B, H, W) decision values theta
    alpha : weight of the absolute distance
    kept : (B, H, W) bool, the pixels that count (half of them, drawn anew in every step); None: all

    Returns
    -------
    (B,) losses in [-(0.25 + 0.5 alpha), 0]; 0 for an image of which no pixel is kept
    """
    distance = (decision.sigmoid() - 0.5).abs()
    gain = distance**2 + alpha * distance
    if kept is None:
        return -gain.mean((-2, -1))
    return -(gain * kept).sum((-2, -1)) / kept.sum((-2, -1)).clamp(min=1)


def ssim_loss(prediction: Tensor, target: Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """1 - SSIM (Wang et al. 2004) of maps in [0, 1], with a Gaussian window and zeros beyond the border.

    Parameters
    ----------
    prediction, target : (B, H, W) in [0, 1]
    window, sigma : side and standard deviation of the window in pixels

    Returns
    -------
    (B,) losses in [0, 2]
    """
    position = torch.arange(window, dtype=prediction.dtype, device=prediction.device) - window // 2
    bell = torch.exp(-(position**2) / (2 * sigma**2))
    bell = bell / bell.sum()
    p, t = prediction[:, None], target[:, None].to(prediction)
    products = torch.cat([p, t, p * p, t * t, p * t], dim=1)
    kernel = bell.view(1, 1, 1, -1).expand(5, 1, 1, -1)
    local = functional.conv2d(products, kernel, padding=(0, window // 2), groups=5)
    local = functional.conv2d(local, kernel.transpose(2, 3), padding=(window // 2, 0), groups=5)
    mean_p, mean_t, mean_pp, mean_tt, mean_pt = local.unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    structure = (2 * (mean_pt - mean_p * mean_t) + c2) / (mean_pp - mean_p**2 + mean_tt - mean_t**2 + c2)
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    return 1 - (luminance * structure).mean((-2, -1))


def iou_loss(prediction: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """1 - the soft intersection over union of maps in [0, 1], (B,) of (B, H, W); 0 where both are empty."""
    intersection = (prediction * target).sum((-2, -1))
    union = (prediction + target - prediction * target).sum((-2, -1))
    return 1 - (intersection + eps) / (union + eps)


def detection_loss(logits: Tensor, target: Tensor) -> Tensor:
    """L_det = L_B + L_S + L_I: binary cross entropy, SSIM and IoU, equally weighted (Eq. 12).

    Parameters
    ----------
    logits : (B, H, W); the cross entropy is taken of them, as that of a sigmoid which is rounded to 0 or 1 (from
        logits of 17 on) has no gradient
    target : (B, H, W) in [0, 1]

    Returns
    -------
    (B,) losses
    """
    target, prediction = target.to(logits), logits.sigmoid()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))
    return cross_entropy + ssim_loss(prediction, target) + iou_loss(prediction, target)
