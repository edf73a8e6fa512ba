"""HS: hierarchical saliency.

Yan, Xu, Shi, Jia: Hierarchical Saliency Detection, CVPR 2013. Small high-contrast structure (print, foliage, texture)
misleads contrast measures, and at a coarse scale it is gone. So the image is segmented at three scales, each a merging
of the one below; every region of every layer gets a saliency cue; a quadratic energy on the tree of regions reconciles
the three layers.

No source code of the authors is public, and the paper leaves open the gradient of the watershed (here Sobel in CIELUV),
the weights of the energy, and the unit of length in both cues. The location prior takes coordinates of 0..1 along each
side, as readers of the paper have it; distances between regions are in image diagonals; the weights are those that its
readers hand down. Other choices are measured with masks of SED2, SOD and PASCAL-S in benchmarks/RESULTS.md; no default
follows from them.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from usod.handcrafted.detector import detector
from usod.handcrafted.region_merging import merge_small_regions, region_scale
from usod.regions.graph import min_max
from usod.regions.lab import luv_planes
from usod.regions.labels import region_centre, region_mean, region_size
from usod.regions.watershed import watershed

__all__ = [
    "SCALE_THRESHOLDS",
    "hierarchical_inference",
    "hs",
    "local_contrast",
    "location_prior",
    "merge_small_regions",
    "over_segment",
    "region_layers",
    "region_parents",
    "region_scale",
]

SCALE_THRESHOLDS = (3, 17, 33)
"""Smallest region scale kept in layers 1, 2, 3, in pixels; chosen in the paper for images of about 400 x 300."""
SED2_SIGMA = 0.7
"""A `sigma` chosen with the masks of every second image of SED2, and the default until 2026-11-26.

Against the paper's 0.2 it gains .105 of adaptive F on SED2 and costs .030 on SOD and .017 on PASCAL-S.
"""


@detector
def hs(
    image: NDArray[np.uint8],
    *,
    scale_thresholds: Sequence[int] = SCALE_THRESHOLDS,
    sigma: float = 0.2,
    location_weight: float = 9.0,
    data_weights: Sequence[float] = (0.5, 4.0, 2.0),
    hierarchy_weights: Sequence[float] = (4.0, 2.0),
) -> NDArray[np.float32]:
    """Hierarchical saliency map of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    scale_thresholds : smallest region scale of each layer in pixels, from fine to coarse (Section 3.1)
    sigma : spatial range of the local contrast; a layer of threshold t uses sigma**2 * t (Section 3.2). 0.2 is the
        paper's, in a unit that it does not state: here image diagonals. See `SED2_SIGMA` for another.
    location_weight : weight of the squared distance to the image centre
    data_weights : beta of each layer. The paper does not print them.
    hierarchy_weights : lambda between each layer and the next. Not printed either.

    Returns
    -------
    (H, W) float32 in [0, 1]; zero everywhere where the image has no contrast

    Raises
    ------
    ValueError
        If the parameters of the layers do not fit together.
    """
    if len(data_weights) != len(scale_thresholds) or len(hierarchy_weights) != len(scale_thresholds) - 1:
        raise ValueError("hs needs one data weight per layer and one hierarchy weight per pair of adjacent layers")
    luv = np.ascontiguousarray(np.moveaxis(luv_planes(image), 0, -1))
    layers = region_layers(luv, scale_thresholds)
    cues = [
        _layer_cue(labels, luv, sigma**2 * threshold, location_weight)
        for labels, threshold in zip(layers, scale_thresholds, strict=True)
    ]
    parents = [region_parents(fine, coarse) for fine, coarse in pairwise(layers)]
    saliency = hierarchical_inference(cues, parents, data_weights, hierarchy_weights)
    return min_max(saliency[0])[layers[0]].astype(np.float32)


# ---- Section 3.1: image layers ----


def over_segment(luv: NDArray[np.floating]) -> NDArray[np.int32]:
    """Initial regions: the watershed of the gradient magnitude.

    Parameters
    ----------
    luv : (H, W, 3) colours in CIELUV. The gradient is the sum of the Sobel magnitudes of its channels.

    Returns
    -------
    (H, W) int32 labels 0..n-1; every pixel belongs to a region, there are no watershed lines
    """
    return watershed(_gradient_magnitude(np.ascontiguousarray(np.moveaxis(luv, -1, 0))))


@njit(cache=True)
def _gradient_magnitude(planes):
    """Sum over (C, H, W) planes of their Sobel magnitudes, (H, W); the border's pixels are repeated outside.

    Differences are taken first: where colours rise evenly they are equal to the last digit, so plateaus are flat.
    """
    _, height, width = planes.shape
    total = np.zeros((height, width))
    for plane in planes:
        for r in range(height):
            above, here, below = plane[max(r - 1, 0)], plane[r], plane[min(r + 1, height - 1)]
            for c in range(width):
                left, right = max(c - 1, 0), min(c + 1, width - 1)
                across = 2.0 * (here[right] - here[left]) + (
                    (above[right] - above[left]) + (below[right] - below[left])
                )
                down = 2.0 * (below[c] - above[c]) + ((below[left] - above[left]) + (below[right] - above[right]))
                total[r, c] += np.sqrt(across * across + down * down)
    return total


def region_layers(
    luv: NDArray[np.floating], scale_thresholds: Sequence[int] = SCALE_THRESHOLDS
) -> list[NDArray[np.int32]]:
    """Nested segmentations of an image, from fine to coarse.

    Parameters
    ----------
    luv : (H, W, 3) colours of the image in CIELUV
    scale_thresholds : regions of a smaller scale are merged into the neighbour of the nearest mean CIELUV colour

    Returns
    -------
    One (H, W) int32 label map 0..n-1 per threshold; each region lies in one region of the next layer

    Raises
    ------
    ValueError
        If the thresholds do not increase.
    """
    if any(coarse <= fine for fine, coarse in pairwise(scale_thresholds)):
        raise ValueError(f"scale thresholds must increase from layer to layer, got {tuple(scale_thresholds)}")
    return merge_small_regions(over_segment(luv), luv, scale_thresholds)


def region_parents(fine: NDArray[np.integer], coarse: NDArray[np.integer]) -> NDArray[np.intp]:
    """Region of the coarse layer that holds each region of the fine layer: (n_fine,) indices."""
    parents = np.empty(int(fine.max()) + 1, dtype=np.intp)
    parents[fine] = coarse
    return parents


# ---- Section 3.2: single-layer saliency cues ----


def local_contrast(
    colours: NDArray[np.floating],
    centres: NDArray[np.floating],
    pixel_counts: NDArray[np.number],
    spatial_variance: float,
) -> NDArray[np.float64]:
    """Colour contrast of each region to the others, the near and the large counting most.

    C_i = sum over j of n_j exp(-||x_i - x_j||^2 / spatial_variance) ||c_i - c_j||

    Parameters
    ----------
    colours : (n, 3) mean CIELUV colours c
    centres : (n, 2) centres x of the regions, in the unit of `spatial_variance`
    pixel_counts : (n,) number of pixels n_j
    spatial_variance : the paper's sigma^2, the layer's scale threshold times a constant

    Returns
    -------
    (n,) float64, not normalised
    """
    # Thousands of regions make millions of pairs: single precision halves the time and is exact to five digits.
    values = np.concatenate([colours, centres * np.sqrt(1.0 / spatial_variance)], axis=1).T
    contrast = _local_contrast(np.ascontiguousarray(values, np.float32), np.asarray(pixel_counts, np.float32))
    return contrast.astype(np.float64)


@njit(cache=True)
def _local_contrast(values, pixel_counts):
    n = len(pixel_counts)
    contrast, pairs = np.zeros(n, np.float32), np.empty(n, np.float32)
    for i in range(n):
        # Row by row: unpacked, numba takes the rows for strided, and nothing is computed side by side.
        _contrast_with(values[0], values[1], values[2], values[3], values[4], values[:, i], pairs[:i])
        contrast[i] += _add_contrast(pairs[:i], pixel_counts, pixel_counts[i], contrast)
    return contrast


@njit(cache=True, fastmath=True)
def _contrast_with(first, second, third, row, column, own, pairs):
    """Fill `pairs` with the contrast of one region, whose values are `own`, to each of the first ones."""
    luminance, u, v, r, c = own[0], own[1], own[2], own[3], own[4]
    for j in range(pairs.size):
        colour = (first[j] - luminance) ** 2 + (second[j] - u) ** 2 + (third[j] - v) ** 2
        # exp(-x) is exp(-x / 64) by its series, squared six times: only sums and products, many pairs at once.
        x = min((row[j] - r) ** 2 + (column[j] - c) ** 2, np.float32(80.0)) * np.float32(-1 / 64)
        near = np.float32(1 / 720) + x * (np.float32(1 / 5040) + x * np.float32(1 / 40320))
        near = np.float32(1 / 6) + x * (np.float32(1 / 24) + x * (np.float32(1 / 120) + x * near))
        near = np.float32(1) + x * (np.float32(1) + x * (np.float32(0.5) + x * near))
        near *= near
        near *= near
        near *= near
        near *= near
        near *= near
        near *= near
        pairs[j] = near * np.sqrt(colour)


@njit(cache=True, fastmath=True)
def _add_contrast(pairs, pixel_counts, own_count, contrast):
    """The sum of one region's contrasts, weighted by the others' sizes; to the others, in place, goes theirs."""
    total = np.float32(0.0)
    for j in range(pairs.size):
        total += pixel_counts[j] * pairs[j]
        contrast[j] += own_count * pairs[j]
    return total


def location_prior(labels: NDArray[np.integer], weight: float = 9.0) -> NDArray[np.float64]:
    """Nearness of each region to the image centre x_c: the mean over its pixels of exp(-weight ||x - x_c||^2).

    Parameters
    ----------
    labels : (H, W) region labels 0..n-1
    weight : the paper's lambda, for coordinates of 0..1 along each side of the image

    Returns
    -------
    (n,) float64 in (0, 1]
    """
    height, width = labels.shape
    rows = (np.arange(height) - (height - 1) / 2) / height
    columns = (np.arange(width) - (width - 1) / 2) / width
    nearness = np.exp(-weight * rows**2)[:, None] * np.exp(-weight * columns**2)
    return region_mean(labels, nearness)[:, 0]


def _layer_cue(
    labels: NDArray[np.int32], luv: NDArray[np.float64], spatial_variance: float, location_weight: float
) -> NDArray[np.float64]:
    """Initial saliency of each region of a layer, the product of contrast and location in [0, 1]."""
    centres = region_centre(labels) * labels.shape / np.hypot(*labels.shape)
    contrast = local_contrast(region_mean(labels, luv), centres, region_size(labels), spatial_variance)
    return min_max(contrast) * min_max(location_prior(labels, location_weight))


# ---- Section 3.3: hierarchical inference ----


def hierarchical_inference(
    cues: Sequence[NDArray[np.float64]],
    parents: Sequence[NDArray[np.integer]],
    data_weights: Sequence[float],
    hierarchy_weights: Sequence[float],
) -> list[NDArray[np.float64]]:
    """Saliency of the regions of all layers that minimises the energy on the tree.

    E(s) = sum over layers l of beta_l ||s^l - cue^l||^2
         + sum over layers l, regions i of lambda_l (s_i^l - s_parent(i)^(l+1))^2

    E is quadratic and its graph is a forest, so one sweep of belief propagation up and one down give the exact
    minimum. The message of a region to its parent is again a quadratic, held as its weight and its minimiser.

    Parameters
    ----------
    cues : (n_l,) initial saliency of the regions of each layer, from fine to coarse
    parents : for every layer but the last, (n_l,) index of the region of the next layer that holds each region
    data_weights : beta_l > 0 of each layer
    hierarchy_weights : lambda_l >= 0 between layer l and the next

    Returns
    -------
    (n_l,) float64 saliency of each layer, within the range of the cues
    """
    weight = [np.full(len(cue), beta, dtype=np.float64) for cue, beta in zip(cues, data_weights, strict=True)]
    optimum = [np.asarray(cue, dtype=np.float64) for cue in cues]
    for layer, (parent, tie) in enumerate(zip(parents, hierarchy_weights, strict=True)):
        message = weight[layer] * tie / (weight[layer] + tie)
        above = layer + 1
        total = weight[above] + np.bincount(parent, message, minlength=len(cues[above]))
        pull = np.bincount(parent, message * optimum[layer], minlength=len(cues[above]))
        optimum[above] = (weight[above] * optimum[above] + pull) / total
        weight[above] = total

    for layer in reversed(range(len(parents))):
        tie = hierarchy_weights[layer]
        from_parent = optimum[layer + 1][parents[layer]]
        optimum[layer] = (weight[layer] * optimum[layer] + tie * from_parent) / (weight[layer] + tie)
    return optimum
