"""Losses that compare a soft prediction with a pseudo-label."""

from collections.abc import Callable

import torch
from torch import Tensor

from usod.devices import sent

Loss = Callable[[Tensor, Tensor], Tensor]


def f_beta_loss(prediction: Tensor, target: Tensor, beta2: float, eps: float = 1e-5) -> Tensor:
    """Image-level loss L_beta = 1 - F_beta with soft counts (DeepUSPS, section 3.1 and appendix A).

    With TP = sum(p t), precision = TP / sum(p) and recall = TP / sum(t), the weighted harmonic mean is
    F_beta = (1 + beta^2) TP / (sum(p) + beta^2 sum(t)).

    An empty target has F_beta = 0 for every prediction: loss 1, gradient exactly zero. So it is in the paper and in its
    released code, and it is kept. A label without a salient pixel says that its method failed on the image, not that
    nothing in it is salient: what the other images teach the network decides about it.

    Parameters
    ----------
    prediction : (B, H, W) probabilities in [0, 1]
    target : (B, H, W) in {0, 1}
    beta2 : beta^2; small values favour precision. The paper gives none for its loss, whose released code has 1 in the
        refinement and 4 in the fusion
    eps : added to the denominator

    Returns
    -------
    (B,) losses in [0, 1]
    """
    dims = (-2, -1)
    true_positive = (prediction * target).sum(dims)
    denominator = prediction.sum(dims) + beta2 * target.sum(dims)
    return 1 - (1 + beta2) * true_positive / (denominator + eps)


def told_of_nothing(loss: Loss, prediction: Tensor, target: Tensor, nothing: Tensor | None) -> Tensor:
    """`loss(prediction, target)`, (B,); of images in which a person sees nothing salient that of the background.

    F and IoU have no gradient for an empty target. That of a method says nothing about the image, a person's does.

    Parameters
    ----------
    prediction, target : (B, H, W) in [0, 1]
    nothing : (B,) bool on the CPU: empty targets that are to be learnt; None: there are none in this training
    """
    losses = loss(prediction, target)
    if nothing is None or not nothing.any():
        return losses
    return torch.where(sent(nothing, losses.device), loss(1 - prediction, 1 - target), losses)


def certain_as_label(prediction: Tensor, label: Tensor, threshold: float | Tensor) -> Tensor:
    """Replace predictions that are already more certain than the continuous label (DeepUSPS's released code).

    Where the label is above the threshold and the prediction above the label it becomes 1; where both are below, 0.
    These pixels have no gradient then. The paper does not mention it.

    Parameters
    ----------
    prediction, label : (B, H, W) in [0, 1]
    threshold : binarisation threshold of the labels, broadcast to their shape
    """
    prediction = torch.where((label > threshold) & (prediction > label), 1.0, prediction)
    return torch.where((label < threshold) & (prediction < label), 0.0, prediction)
