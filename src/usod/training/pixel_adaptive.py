"""Pixel-adaptive refinement of maps (PAR; Ru et al., CVPR 2022), which A2S-v3 updates its labels with."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

# w1, w2 and w3 of the paper, as its code and that of A2S-v3 have them.
COLOUR_WIDTH = POSITION_WIDTH = 0.3
POSITION_WEIGHT = 0.01


def refine(probability: Tensor, image: Tensor, dilations: Sequence[int] = (1, 2, 4, 8), iterations: int = 6) -> Tensor:
    """Each pixel becomes, again and again, the mean of its neighbours, weighted by how alike their colours are.

    The neighbours j of a pixel i are the eight around it, at each of the distances `dilations`. Their weights are
    softmax_j(-mean_c (|I_i - I_j| / (0.3 s_c))^2) + 0.01 softmax_j(-(|i - j| / (0.3 s))^2), s_c and s being the
    standard deviations over the neighbours of their colours and of their distances. Here they are divided by their sum,
    1.01, so that a map stays in [0, 1]; A2S-v3's code divides the result by its maximum.

    Parameters
    ----------
    probability : (B, H, W) in [0, 1]
    image : (B, 3, H, W); scale and shift of a channel do not matter
    dilations : in pixels; beyond the border the nearest pixel counts
    iterations : of the averaging

    Returns
    -------
    (B, H, W) in [0, 1]
    """
    neighbours = _neighbours(image, dilations)
    deviation = neighbours.std(2, keepdim=True) + 1e-8
    difference = (neighbours - image[:, :, None]) / deviation / COLOUR_WIDTH
    affinity = torch.softmax(-(difference**2).mean(1, keepdim=True), dim=2)
    distances = torch.tensor([reach * (dx * dx + dy * dy) ** 0.5 for reach in dilations for dy, dx in _AROUND])
    nearness = torch.softmax(-((distances / (distances.std() + 1e-8) / POSITION_WIDTH) ** 2), dim=0)
    weights = (affinity + POSITION_WEIGHT * nearness.to(affinity)[:, None, None]) / (1 + POSITION_WEIGHT)
    refined = probability[:, None]
    for _ in range(iterations):
        refined = (_neighbours(refined, dilations) * weights).sum(2)
    return refined[:, 0].clamp(0, 1)


_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def _neighbours(values: Tensor, dilations: Sequence[int]) -> Tensor:
    """(B, C, 8 len(dilations), H, W) of (B, C, H, W)."""
    height, width = values.shape[-2:]
    found = []
    for reach in dilations:
        padded = functional.pad(values, [reach] * 4, mode="replicate")
        for dy, dx in _AROUND:
            top, left = reach * (1 + dy), reach * (1 + dx)
            found.append(padded[..., top : top + height, left : left + width])
    return torch.stack(found, dim=2)
