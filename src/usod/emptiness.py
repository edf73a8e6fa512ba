"""How likely it is that an image shows nothing salient: a wall, a lawn, a sky.

Two logistic functions, of one map and of maps that should agree. Their constants were fitted without masks: on 150
photographs of the MSRA family (objects), 36 crops of others where a trained model's own mask is empty, and 36 textures
(drawn, and scikit-image's brick and grass). Which features they have, and THRESHOLD, were chosen with a look at SED2,
SOD and PASCAL-S, at crops of their backgrounds cut by their masks, and at other textures: docs/experiments.md.
"""

from collections.abc import Collection
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

THRESHOLD = 0.8
"""Of `nothing_in_map`: one in 200 images with an object reached it there, and two of three crops of background."""


def nothing_in_map(saliency: NDArray) -> float:
    """By one map (H, W) in [0, 1] of a trained network: in [0, 1], 1: surely nothing salient.

    It falls with the area above 0.5, up to a tenth of the image, and rises with how unsure the map is of what it calls
    salient: sum(1 - |2 p - 1|) / sum(p), at most 1, and 1 where no pixel is above 0.5.
    """
    return float(expit(1.4 - 8.7 * _extent(saliency) + 7.4 * _unsure(saliency)))


def nothing_where_none_agree(maps: Collection[NDArray], final: NDArray) -> float:
    """By several maps of one image and one size: in [0, 1], 1: surely nothing salient.

    It falls with the mean agreement of all pairs (`soft_iou`) and with the area of `final`, the surest of the maps.
    """
    agreement = np.mean([soft_iou(a, b) for a, b in combinations(maps, 2)])
    return float(expit(5.7 - 11.7 * agreement - 4.5 * _extent(final)))


def soft_iou(a: NDArray, b: NDArray) -> float:
    """Sum of the minima over the sum of the maxima, in [0, 1]; two empty maps agree."""
    union = np.maximum(a, b).sum()
    return float(np.minimum(a, b).sum() / union) if union > 0 else 1.0


def _extent(saliency: NDArray) -> float:
    return float(np.sqrt(min(float(np.mean(saliency > 0.5)), 0.1)))


def _unsure(saliency: NDArray) -> float:
    if not (saliency > 0.5).any():
        return 1.0
    return min(float((1 - np.abs(2 * saliency - 1)).sum(dtype=np.float64) / saliency.sum(dtype=np.float64)), 1.0)
