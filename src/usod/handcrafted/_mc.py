"""Saliency by absorbing Markov chain, MC (Jiang, Zhang, Lu, Yang and Yang, "Saliency Detection via Absorbing Markov
Chain", ICCV 2013).

A random walk over superpixels is absorbed at the image border; the longer it takes from a region, the more salient the
region. Defaults and details are those of the authors' published code, which made the maps that later papers compare
with and train on.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from usod.handcrafted.detector import detector
from usod.regions.graph import Links, Matrix, Vector, min_max, paint, pairwise_distance, two_ring
from usod.regions.lab import rgb_to_lab
from usod.regions.labels import adjacency, border_regions, region_mean
from usod.regions.superpixels import slic


@detector
def mc(
    image: NDArray[np.uint8],
    *,
    n_segments: int = 250,
    compactness: float = 20.0,
    steepness: float = 10.0,
    frame_affinity: float = 13.0,
    outlier_affinity: float = 1.1,
    score_threshold: float = 2.0,
    outlier_saliency: float = 0.3,
) -> NDArray[np.float32]:
    """Saliency as the time until a random walk is absorbed at the image border.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    n_segments, compactness : wanted number of superpixels, and their compactness (SLIC's m)
    steepness : 1 / sigma^2 of the affinity, for colour distances stretched to 0..1 over the image's edges
    frame_affinity : if the border regions' summed affinity to those just inside is at most this, they are taken for an
        artificial frame: they leave the chain, and the next ring absorbs instead
    outlier_affinity : a region whose summed affinity, with 1 to itself, is below this leaves the chain
    score_threshold : the absorbed times are weighted by the equilibrium distribution from this `mid_grey_score` on
    outlier_saliency : an outlier is salient if a neighbour is more salient than this

    Returns
    -------
    (H, W) float32 in [0, 1]; all 0 if nothing stands out
    """
    labels = slic(image, n_segments, compactness, variant="epfl")
    touching = adjacency(labels, connectivity=8)
    colour_distance = pairwise_distance(region_colour(labels, image))
    if not colour_distance.any():
        # Equal colours everywhere: the absorbed times would only draw the distance to the border.
        return np.zeros(labels.shape, np.float32)
    affinity = affinity_matrix(colour_distance, chain_links(labels, touching), steepness)
    degree = affinity.sum(axis=1)
    outlier = degree < outlier_affinity

    absorbing, framed = absorbing_regions(labels, touching, affinity, frame_affinity)
    absorbing &= ~outlier
    kept = ~(framed | outlier)
    if not kept.any() or not absorbing.any():
        return np.zeros(labels.shape, np.float32)

    chain = Chain(affinity[np.ix_(kept, kept)], degree[kept], affinity[np.ix_(kept, absorbing)].sum(axis=1))
    time = min_max(absorbed_time(chain))
    if mid_grey_score(time) >= score_threshold:
        time = min_max(absorbed_time(chain, equilibrium_weight(chain)))

    saliency = np.zeros(kept.size)
    saliency[kept] = time
    beside_salient = (touching & (saliency > outlier_saliency)).any(axis=1)
    saliency[outlier & beside_salient] = 1.0
    return paint(labels, saliency)


def region_colour(labels: NDArray[np.integer], image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colour of each region, (n, 3) float64: CIE Lab, but of light in steps of 1/255, so with a scale of its own.

    The authors' code gives mean RGB in 0..255 to a BT.709 conversion made for 0..1. What counts here is distances
    relative to each other, and for those it means: no linear piece in the curves, so that dark colours lie closer.
    """
    return rgb_to_lab(region_mean(labels, image), "rec709")


def chain_links(labels: NDArray[np.integer], touching: Links) -> Links:
    """Links of the chain, symmetric (n, n) bool: regions at most two steps apart, where a step also leads
    from the image's top to the bottom region of the same column, and likewise from left to right."""
    wrapped = touching.copy()
    for one, other in ((labels[0], labels[-1]), (labels[:, 0], labels[:, -1])):
        wrapped[one, other] = wrapped[other, one] = True
    np.fill_diagonal(wrapped, False)
    return two_ring(wrapped)


def affinity_matrix(colour_distance: Matrix, linked: Links, steepness: float = 10.0) -> Matrix:
    """Affinity a_ij = exp(-steepness d_ij) on links, 1 on the diagonal, else 0; symmetric (n, n) float64.

    d_ij is the colour distance stretched to 0..1 over the image's links.
    """
    affinity = np.eye(len(colour_distance))
    # 1e-5 keeps every linked region reachable.
    affinity[linked] = np.exp(-steepness * min_max(colour_distance[linked])) + 1e-5
    return affinity


def absorbing_regions(
    labels: NDArray[np.integer], touching: Links, affinity: Matrix, frame_affinity: float = 13.0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which regions absorb, and which are an artificial frame and leave the chain: two (n,) bool.

    Without a frame the border regions absorb. They are a frame if their summed affinity to the regions just inside is
    at most `frame_affinity`; those inside absorb then.
    """
    border = np.zeros(len(affinity), dtype=bool)
    border[border_regions(labels)] = True
    inward = touching & border[:, None] & ~border[None, :]
    if affinity[inward].sum() > frame_affinity:
        return border, np.zeros_like(border)
    return inward.any(axis=0), border


class Chain(NamedTuple):
    """Transient states of an absorbing Markov chain over n regions.

    Attributes
    ----------
    affinity : (n, n), 1 on the diagonal
    degree : (n,) summed affinity to all regions of the image, also those outside the chain
    absorbed : (n,) summed affinity to the absorbing states, which are copies of the absorbing regions
    """

    affinity: Matrix
    degree: Vector
    absorbed: Vector


def absorbed_time(chain: Chain, weight: Vector | None = None) -> Vector:
    """Expected number of steps until absorption from each region, y = (I - Q)^-1 u, (n,) float64.

    Q holds the transition probabilities between regions. `weight` u is what a visit to each region counts; default 1.
    """
    total = chain.degree + chain.absorbed
    if weight is None:
        weight = np.ones_like(total)
    # Multiplied by the row sums, the system is a symmetric, positive definite Laplacian.
    return solve(np.diag(total) - chain.affinity, total * weight, assume_a="pos")


def equilibrium_weight(chain: Chain) -> Vector:
    """Weights u: the inverse of the equilibrium distribution, summing to 1, (n,) float64.

    It takes from regions that are visited long only because many alike lie around them: smooth, wide background.
    """
    inverse = chain.degree.sum() / chain.degree
    return inverse / inverse.sum()


def mid_grey_score(saliency: Vector) -> float:
    """How much of a map in [0, 1] is neither clearly salient nor clearly not: from 1, all in the outermost of
    ten bins, to 5, all in the middle two."""
    bins = np.minimum((saliency * 10).astype(int), 9)
    return float(np.minimum(bins + 1, 10 - bins).mean())
