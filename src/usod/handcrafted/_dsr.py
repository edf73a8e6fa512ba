"""DSR: saliency from dense and sparse reconstruction.

Li, Lu, Zhang, Ruan, Yang: Saliency Detection via Dense and Sparse Reconstruction, ICCV 2013. The regions at the image
border are taken for background; what they reconstruct badly is salient. Two reconstructions (a PCA basis, a sparse
code) at eight scales of superpixels are smoothed over similar regions, brought to pixels, weighted with a Gaussian of
the object's place and size, and combined as two observers of each other.

The defaults follow the authors' code, whose maps are what the field compares with. Where it departs from the paper, a
keyword chooses between the two.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from usod.handcrafted.detector import detector
from usod.handcrafted.lasso import lasso
from usod.regions.graph import min_max, paint
from usod.regions.lab import FINE_FROM_LINEAR, lab_planes
from usod.regions.labels import border_regions, region_centre, region_mean
from usod.regions.superpixels import slic, slic_lab

SCALES = ((50, 10.0), (100, 10.0), (150, 20.0), (200, 20.0), (250, 25.0), (300, 25.0), (350, 30.0), (400, 30.0))
"""(number of superpixels, SLIC compactness) of each scale."""

Floats = NDArray[np.float64]
PixelPositions = Literal["as_released", "paper"]


@detector
def dsr(
    image: NDArray[np.uint8],
    *,
    scales: Sequence[tuple[int, float]] = SCALES,
    pca_energy: float = 0.95,
    extra_components: int = 1,
    linearise_rgb: bool = False,
    sparsity: float = 0.01,
    clusters: int = 8,
    context_weight: float = 0.5,
    pixel_positions: PixelPositions = "as_released",
    object_spread: float = 0.25,
    histogram_bins: int = 60,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Saliency map of an image by dense and sparse reconstruction.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    scales : number of superpixels and SLIC compactness of each scale
    pca_energy : share of the border regions' variance that the PCA basis keeps
    extra_components : components kept beyond that share; the authors' code keeps one more, the paper none
    linearise_rgb : undo the gamma of sRGB on the way to CIELAB, as the standard has it; the authors' code does not
    sparsity : lambda of the sparse code
    clusters, seed : K of the k-means in which a region's context is sought, and its seed
    context_weight : tau, the share of the context in a region's error
    pixel_positions : see `pixel_features`
    object_spread : standard deviation of the object-biased Gaussian, as share of the image's height and width
    histogram_bins : bins of the likelihoods in the Bayesian integration

    Returns
    -------
    (H, W) float32 in [0, 1]; zero everywhere where the border explains the image

    Raises
    ------
    ValueError
        If `pixel_positions` is unknown.
    """
    colours = colour_features(image, linearise_rgb)
    pixels = pixel_features(colours, pixel_positions)
    if (image == image[0, 0]).all():  # differences between regions would be rounding errors, stretched to 0..1
        return np.zeros(image.shape[:2], np.float32)
    lab = slic_lab(image, "epfl")
    all_labels = [slic(image, n_segments, compactness, variant="epfl", lab=lab) for n_segments, compactness in scales]
    all_features = [region_features(labels, colours) for labels in all_labels]
    basis = {"energy": pca_energy, "extra_components": extra_components}
    errors = [
        reconstruction_errors(
            labels, features, basis, sparsity, cluster_regions(features, clusters, seed), context_weight
        )
        for labels, features in zip(all_labels, all_features, strict=True)
    ]
    weights = scale_weights(pixels, all_labels, all_features)
    pixel_errors = (min_max(integrate_scales(all_labels, kind, weights)) for kind in zip(*errors, strict=True))
    first, second = (object_biased(error, object_spread) for error in pixel_errors)
    return bayesian_integration(first, second, bins=histogram_bins).astype(np.float32)


def reconstruction_errors(
    labels: NDArray[np.int32],
    features: Floats,
    basis: dict[str, Any],
    sparsity: float,
    groups: NDArray[np.integer],
    context_weight: float,
) -> list[Floats]:
    """Dense and sparse error of each region at one scale, (n,) each in [0, 1], drawn to those of its context.

    `basis` holds the keywords of `dense_error`; `groups` are the clusters of the regions.
    """
    templates = features[border_regions(labels)]
    residuals = dense_error(features, templates, **basis), sparse_error(features, templates, sparsity=sparsity)
    return [min_max(propagate_context(min_max(r), features, groups, context_weight)) for r in residuals]


# ---- Regions and background templates ----


def colour_features(image: NDArray[np.uint8], linearise_rgb: bool = False) -> Floats:
    """Colours of the pixels in 0..1: R, G, B, and L, a, b each stretched to 0..1 over the image; (H, W, 6)."""
    lab = lab_planes(image) if linearise_rgb else lab_planes(image, "none", FINE_FROM_LINEAR)
    return np.concatenate([image / 255.0, np.stack([min_max(plane) for plane in lab], axis=-1)], axis=-1)


def region_features(labels: NDArray[np.int32], colours: Floats) -> Floats:
    """Feature of each region, (n, 8): its mean colours, and the centre's x / W and y / H."""
    return np.concatenate([region_mean(labels, colours), region_centre(labels)[:, ::-1]], axis=1)


# ---- Dense and sparse reconstruction errors ----


def dense_error(features: Floats, templates: Floats, *, energy: float = 0.95, extra_components: int = 1) -> Floats:
    """Distance of each region to the affine subspace of the background.

    The basis are the principal components of the templates; as in the authors' code the regions are centred by their
    own mean, not by that of the templates.

    Parameters
    ----------
    features : (n, d) of all regions
    templates : (m, d) of the border regions
    energy : share of the templates' variance to keep
    extra_components : components kept beyond it, as far as the templates span any

    Returns
    -------
    (n,) float64 Euclidean norms of the residuals
    """
    centred_templates = templates - templates.mean(axis=0)
    variance, axes = np.linalg.eigh(centred_templates.T @ centred_templates)
    variance, axes = variance[::-1], axes[:, ::-1]
    rank = int(np.sum(variance > 1e-12 * max(variance[0], 1e-12)))
    enough = 1 + int(np.searchsorted(np.cumsum(variance[:rank]), energy * variance[:rank].sum() * (1 - 1e-12)))
    basis = axes[:, : min(enough + extra_components, rank)]
    centred = features - features.mean(axis=0)
    return np.linalg.norm(centred - (centred @ basis) @ basis.T, axis=1)


def sparse_error(features: Floats, templates: Floats, *, sparsity: float = 0.01) -> Floats:
    """Squared residual of each region's sparse code over the background templates.

    Features and templates are scaled to unit length first; a code uses at most d templates (the features' dimension).

    Parameters
    ----------
    features : (n, d) of all regions
    templates : (m, d) of the border regions
    sparsity : lambda in 1/2 ||x - D a||^2 + lambda ||a||_1

    Returns
    -------
    (n,) float64
    """
    signals, dictionary = _unit_rows(features), _unit_rows(templates)
    codes = lasso(signals, dictionary, sparsity, max_atoms=features.shape[1])
    return np.sum((signals - codes @ dictionary) ** 2, axis=1)


def _unit_rows(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


# ---- Context-based error propagation ----


def cluster_regions(features: Floats, clusters: int = 8, seed: int = 0) -> NDArray[np.int32]:
    """k-means clusters of the regions' features, (n,) int32; as many as there are different features, if fewer."""
    k = min(clusters, len(np.unique(features, axis=0)))
    return KMeans(k, init="random", n_init=1, max_iter=200, random_state=seed).fit_predict(features)


def propagate_context(
    errors: Floats, features: Floats, groups: NDArray[np.integer], context_weight: float = 0.5
) -> Floats:
    """Errors drawn towards those of similar regions in the same cluster.

    Regions are taken in the order of descending error, each using what those before it have become. A region alone in
    its cluster keeps 1 - tau of its error, as in the authors' code.

    Parameters
    ----------
    errors : (n,) reconstruction errors
    features : (n, d) features of the regions; the similarity's sigma^2 is their mean variance over the d
    groups : (n,) cluster of each region
    context_weight : tau in [0, 1]

    Returns
    -------
    (n,) float64
    """
    if len(errors) < 2:
        return np.asarray(errors, dtype=np.float64)
    variance = float(np.var(features, axis=0).mean())
    order = np.argsort(-errors, kind="stable")
    return _propagate(np.array(errors, dtype=np.float64), features, groups, order, max(variance, 1e-12), context_weight)


@njit(cache=True)
def _propagate(errors, features, groups, order, variance, context_weight):
    n, d = features.shape
    for i in order:
        total = 0.0
        context = 0.0
        for j in range(n):
            if j == i or groups[j] != groups[i]:
                continue
            distance = 0.0
            for c in range(d):
                distance += (features[i, c] - features[j, c]) ** 2
            similarity = np.exp(-distance / (2.0 * variance))
            total += similarity
            context += similarity * errors[j]
        if total > 0:
            context /= total
        errors[i] = context_weight * context + (1.0 - context_weight) * errors[i]
    return errors


# ---- From regions to pixels ----


def pixel_features(colours: Floats, positions: PixelPositions = "as_released") -> Floats:
    """Features of the pixels, (H, W, 8), to compare with those of regions.

    Parameters
    ----------
    colours : (H, W, 6), see `colour_features`
    positions : "paper": x / W and y / H as in the feature of a region. "as_released": row and column in pixels, as in
        the authors' code, which makes position outweigh colour and all scales weigh nearly the same.

    Raises
    ------
    ValueError
        If `positions` is unknown.
    """
    height, width, d = colours.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)
    features = np.empty((height, width, d + 2))
    features[..., :d] = colours
    if positions == "paper":
        features[..., d], features[..., d + 1] = columns / width, rows / height
    elif positions == "as_released":
        features[..., d], features[..., d + 1] = rows + 1.0, columns + 1.0
    else:
        raise ValueError(f"pixel_positions must be 'as_released' or 'paper', got {positions!r}")
    return features


def scale_weights(
    pixels: Floats, all_labels: Sequence[NDArray[np.int32]], all_features: Sequence[Floats]
) -> NDArray[np.float32]:
    """Weight of each scale at each pixel: the inverse distance of the pixel to its region, summing to 1.

    Parameters
    ----------
    pixels : (H, W, d) features of the pixels
    all_labels : for each of S scales, (H, W) labels
    all_features : for each scale, (n_s, d) features of its regions

    Returns
    -------
    (S, H, W) float32
    """
    weights = np.empty((len(all_labels), *pixels.shape[:2]))
    for weight, labels, features in zip(weights, all_labels, all_features, strict=True):
        _inverse_distance(pixels, labels, features, np.finfo(np.float64).eps, weight)
    weights /= weights.sum(axis=0)
    return weights.astype(np.float32)


@njit(cache=True)
def _inverse_distance(pixels, labels, features, eps, inverse):
    """Fill (H, W) with the inverse distance of each pixel's features to those of its region."""
    height, width, d = pixels.shape
    for y in range(height):
        for x in range(width):
            distance = 0.0
            for c in range(d):
                distance += (pixels[y, x, c] - features[labels[y, x], c]) ** 2
            inverse[y, x] = 1.0 / (np.sqrt(distance) + eps)


def integrate_scales(
    all_labels: Sequence[NDArray[np.int32]], all_errors: Sequence[Floats], weights: NDArray[np.float32]
) -> Floats:
    """Error of each pixel, (H, W): the weighted mean over the scales of its regions' errors."""
    total = np.zeros(weights.shape[1:])
    for labels, errors, weight in zip(all_labels, all_errors, weights, strict=True):
        total += weight * paint(labels, errors)
    return total


# ---- Object-biased Gaussian refinement ----


def object_biased(saliency: Floats, spread: float = 0.25) -> Floats:
    """Saliency times a Gaussian around its own centre of mass, stretched to 0..1.

    Parameters
    ----------
    saliency : (H, W), >= 0
    spread : standard deviation as share of the height (for rows) and of the width (for columns)

    Returns
    -------
    (H, W) float64 in [0, 1]
    """
    height, width = saliency.shape
    mass = saliency.sum()
    if mass <= 0:
        return np.zeros(saliency.shape)
    rows, columns = np.arange(height), np.arange(width)
    centre_row = saliency.sum(axis=1) @ rows / mass
    centre_column = saliency.sum(axis=0) @ columns / mass
    along_rows = np.exp(-((rows - centre_row) ** 2) / (2.0 * (spread * height) ** 2))
    along_columns = np.exp(-((columns - centre_column) ** 2) / (2.0 * (spread * width) ** 2))
    return min_max(saliency * along_rows[:, None] * along_columns)


# ---- Bayesian integration ----


def bayes_posterior(prior: Floats, observer: Floats, bins: int = 60) -> Floats:
    """Posterior saliency of each pixel: `prior` corrected by what `observer` sees.

    Pixels whose prior exceeds its mean are the foreground, and the histograms of the observer inside and outside it
    the likelihoods. As in the authors' code each histogram spans its own group's range of values, and a pixel takes
    from both histograms the bin that its value has in its own group.

    Parameters
    ----------
    prior : (H, W) in [0, 1]
    observer : (H, W)
    bins : number of bins

    Returns
    -------
    (H, W) float64 in [0, 1], stretched
    """
    inside = prior > prior.mean()
    if not inside.any():
        return np.zeros(prior.shape)
    level = np.empty(prior.shape, dtype=np.int64)
    likelihood = []
    for group in (inside, ~inside):
        level[group] = np.maximum(np.ceil(min_max(observer[group]) * bins).astype(np.int64) - 1, 0)
        likelihood.append(np.bincount(level[group], minlength=bins) / np.count_nonzero(group))
    salient = likelihood[0][level] * prior
    background = likelihood[1][level] * (1.0 - prior)
    total = salient + background
    return min_max(np.divide(salient, total, out=np.zeros(prior.shape), where=total > 0))


def bayesian_integration(first: Floats, second: Floats, bins: int = 60) -> Floats:
    """Mean of the two posteriors in which each map is the prior and the other the observer, in [0, 1]."""
    return min_max(bayes_posterior(first, second, bins) + bayes_posterior(second, first, bins))
