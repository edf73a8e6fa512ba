"""Background-based saliency refined by single-layer cellular automata, BSCA (Qin, Lu, Xu and Wang, "Saliency Detection
via Cellular Automata", CVPR 2015).

What differs from the colours at the image border gets a first saliency; then the superpixels, as cells of an automaton,
draw their saliency towards that of similar neighbours. The defaults are those of the authors' published code, in which
the automaton also holds the border down; `PAPER_SETTINGS` has the paper's rule.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from usod.handcrafted.detector import detector
from usod.handcrafted.frame import Frame, find_frame
from usod.regions.graph import Links, Matrix, Vector, min_max, paint, pairwise_distance, two_ring, with_clique
from usod.regions.lab import lab_planes, rgb_to_lab
from usod.regions.labels import adjacency, border_regions, region_centre, region_mean
from usod.regions.superpixels import slic

PAPER_SETTINGS = {"suppressing_steps": 0, "free_steps": 20}
"""The paper's updating rule alone, without holding the border down: for objects that touch the border."""

BORDER_LOSS = 0.6
"""Saliency that a border region loses before each step that suppresses the border."""


@detector
def bsca(
    image: NDArray[np.uint8],
    *,
    n_segments: int = 300,
    compactness: float = 20.0,
    clusters: int = 3,
    sigma_colour: float = 0.2,
    colour_balance: float = 10.0,
    sigma_spatial: float = 1.3,
    steepness: float = 10.0,
    coherence_range: float = 0.6,
    coherence_base: float = 0.2,
    suppressing_steps: int = 10,
    free_steps: int = 10,
    seed: int = 0,
    remove_frame: bool = True,
) -> NDArray[np.float32]:
    """Saliency by contrast to the border's colours, refined by cellular automata.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    n_segments, compactness : wanted number of superpixels, and their compactness (SLIC's m)
    clusters, seed : K of the k-means that groups the border regions by colour, and its seed
    sigma_colour, colour_balance : sigma_1 and beta of the global colour distinction (Eq. 1)
    sigma_spatial : sigma_2 of the global spatial distance (Eq. 2)
    steepness : 1 / sigma_3^2 of the impact factor (Eq. 4)
    coherence_range, coherence_base : a and b of the coherence (Eq. 7): it lies in [b, a + b]
    suppressing_steps : time steps in which the border is held down, see `suppress_border`
    free_steps : time steps after them that only follow the updating rule
    remove_frame : cut an artificial frame off first (and give it 0)

    Returns
    -------
    (H, W) float32 in [0, 1], stretched to that range; all 0 if nothing stands out
    """
    frame = find_frame(image) if remove_frame else Frame()
    inner = np.ascontiguousarray(frame.crop(image))
    labels = slic(inner, n_segments, compactness, variant="epfl")
    saliency = background_map(labels, inner, clusters, sigma_colour, colour_balance, sigma_spatial, seed)
    if not saliency.any():
        return frame.restore(np.zeros(labels.shape, np.float32))

    border = border_regions(labels)
    linked = two_ring(with_clique(adjacency(labels, connectivity=8), border))
    colour_distance = pairwise_distance(rgb_to_lab(region_mean(labels, inner) / 255.0, "rec709"))
    impact = impact_factors(colour_distance, linked, steepness)
    coherence = coherence_values(impact, coherence_range, coherence_base)
    saliency = suppress_border(saliency, impact, coherence, border, suppressing_steps)
    for _ in range(free_steps):
        saliency = min_max(update(saliency, impact, coherence))
    return frame.restore(paint(labels, saliency))


# ---- Section 3.1: the background-based map ----


def background_map(
    labels: NDArray[np.integer],
    image: NDArray[np.uint8],
    clusters: int = 3,
    sigma_colour: float = 0.2,
    colour_balance: float = 10.0,
    sigma_spatial: float = 1.3,
    seed: int = 0,
) -> Vector:
    """Saliency of each region by contrast to the border (Eq. 3), (n,) in [0, 1]; all 0 if all are equal.

    For each cluster of border regions, the colour distinction from it weighted by the nearness to it, summed. Colours
    are means of L, a and b, each stretched to 0..1 over the image's pixels.
    """
    colours = region_mean(labels, np.stack([min_max(plane) for plane in lab_planes(image)], axis=-1))
    centres = region_centre(labels)
    border = border_regions(labels)
    groups = border_clusters(colours[border], clusters, seed)
    saliency = np.zeros(len(colours))
    for k in range(groups.max() + 1):
        members = border[groups == k]
        distinction = colour_distinction(colours, colours[members], sigma_colour, colour_balance)
        saliency += spatial_weight(centres, centres[members], sigma_spatial) * distinction
    return min_max(saliency)


def border_clusters(colours: NDArray[np.float64], clusters: int = 3, seed: int = 0) -> NDArray[np.int32]:
    """k-means cluster of each border region by its colour, (m,) int32 from 0; fewer than `clusters` if colours are."""
    k = min(clusters, len(np.unique(colours, axis=0)))
    return KMeans(k, init="random", n_init=1, max_iter=200, random_state=seed).fit_predict(colours)


def colour_distinction(
    colours: NDArray[np.float64], cluster: NDArray[np.float64], sigma: float = 0.2, beta: float = 10.0
) -> Vector:
    """Global colour distinction of each region from one cluster of border regions (Eq. 1), (n,) in [0, 1].

    The mean of 1 / (exp(-d / (2 sigma^2)) + beta) over the cluster's (m, 3) colours, stretched to 0..1.
    """
    distance = np.linalg.norm(colours[:, None] - cluster[None], axis=2)
    return min_max((1.0 / (np.exp(-distance / (2.0 * sigma**2)) + beta)).mean(axis=1))


def spatial_weight(centres: NDArray[np.float64], cluster: NDArray[np.float64], sigma: float = 1.3) -> Vector:
    """Global spatial distance (Eq. 2): nearness of each region to one cluster of border regions, (n,) in (0, 1].

    The mean of exp(-d^2 / (2 sigma^2)) over the cluster's (m, 2) centres, in units of the image's sides.
    """
    distance = np.linalg.norm(centres[:, None] - cluster[None], axis=2)
    return np.exp(-(distance**2) / (2.0 * sigma**2)).mean(axis=1)


# ---- Section 3.2: single-layer cellular automata ----


def impact_factors(colour_distance: Matrix, linked: Links, steepness: float = 10.0) -> Matrix:
    """Impact factor matrix F (Eq. 4), symmetric (n, n): exp(-steepness d_ij) on links, else 0.

    d_ij is the colour distance stretched to 0..1 over the image's links.
    """
    impact = np.zeros_like(colour_distance)
    # 1e-5 keeps every linked region reachable.
    impact[linked] = np.exp(-steepness * min_max(colour_distance[linked])) + 1e-5
    return impact


def coherence_values(impact: Matrix, a: float = 0.6, b: float = 0.2) -> Vector:
    """Coherence of each cell (Eq. 6 and 7), (n,) in [b, a + b]: how far it keeps its own state.

    1 / max_j F_ij, stretched to 0..1, times a, plus b: a cell unlike all its neighbours relies on itself.
    """
    strongest = impact.max(axis=1)
    return a * min_max(1.0 / np.where(strongest > 0, strongest, 1.0)) + b


def update(saliency: Vector, impact: Matrix, coherence: Vector) -> Vector:
    """One time step, S <- C S + (I - C) F* S (Eq. 8), with the rows of F* those of F scaled to the sum 1 (Eq. 5)."""
    total = impact.sum(axis=1)
    neighbours = np.divide(impact @ saliency, total, out=saliency.copy(), where=total > 0)
    return coherence * saliency + (1.0 - coherence) * neighbours


def suppress_border(
    saliency: Vector, impact: Matrix, coherence: Vector, border: NDArray[np.int64], steps: int = 10
) -> Vector:
    """The first time steps of the authors' code: before each, the border's saliency is lowered by `BORDER_LOSS`.

    After each, the other regions are stretched to 0..1 again. In the later half, while less than 2% of the regions are
    clearly salient (above 0.93), all others are stretched to 0..1 before the step, so that the object keeps a body.
    """
    saliency = saliency.copy()
    inside = np.setdiff1d(np.arange(len(saliency)), border)
    for step in range(steps):
        saliency[border] -= BORDER_LOSS
        saliency[saliency < 0] = 0.001
        if step >= steps // 2:
            rest = saliency <= 0.93
            if np.count_nonzero(~rest) < 0.02 * len(saliency):
                saliency[rest] = min_max(saliency[rest])
        saliency = update(saliency, impact, coherence)
        saliency[inside] = min_max(saliency[inside])
    return saliency
