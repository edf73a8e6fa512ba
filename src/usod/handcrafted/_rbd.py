"""Robust background detection, RBD or wCtr* (Zhu, Liang, Wei and Sun, "Saliency Optimization from Robust Background
Detection", CVPR 2014).

The defaults are those of the authors' published code, which made the maps that later papers compare with and train
on; `PAPER_SETTINGS` holds the values printed in the paper where they differ.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from usod.handcrafted.detector import detector
from usod.handcrafted.frame import Frame, find_frame
from usod.regions.graph import (
    Links,
    Matrix,
    Vector,
    gaussian_weight,
    geodesic_distance,
    min_max,
    otsu_threshold,
    paint,
    pairwise_distance,
    two_ring,
    with_clique,
)
from usod.regions.lab import rgb_to_lab
from usod.regions.labels import ahead, border_regions, region_centre, region_mean
from usod.regions.superpixels import slic

PAPER_SETTINGS = {
    "sigma_spatial": 0.25,
    "sigma_geodesic": 10.0,
    "sigma_smooth": 10.0,
    "clip": 0.0,
    "certain_connectivity": math.inf,
    "background_weight": 1.0,
    "threshold_contrast": False,
}


@detector
def rbd(
    image: NDArray[np.uint8],
    *,
    pixels_per_region: int = 600,
    compactness: float = 20.0,
    border_margin: int = 8,
    sigma_geodesic: float | None = None,
    sigma_smooth: float | None = None,
    clip: float | None = None,
    sigma_boundary: float = 1.0,
    sigma_spatial: float = 0.4,
    certain_connectivity: float = 3.0,
    background_weight: float = 5.0,
    threshold_contrast: bool = True,
    regularisation: float = 0.1,
    remove_frame: bool = True,
) -> NDArray[np.float32]:
    """Saliency by robust background detection (wCtr*, "optimised weighted contrast").

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    pixels_per_region, compactness : mean size of the superpixels, and their compactness (SLIC's m)
    border_margin : a superpixel is on the border if it comes within this many pixels of the image's edge
    sigma_geodesic, sigma_smooth : colour scales (Lab) of the spanning area and of smoothness (Eq. 9); None: estimated
    clip : colour step (Lab) that costs a geodesic path nothing; None: estimated, like the sigmas, per image
    sigma_boundary : scale of boundary connectivity, in the background probability
    sigma_spatial : spatial scale of the contrast in units of the image's sides
    certain_connectivity : superpixels of a higher boundary connectivity are held to 0; inf: none are
    background_weight : factor of the background term of Eq. 9
    threshold_contrast : set contrasts below Otsu's threshold to 0 before the optimisation
    regularisation : mu, the least smoothness between touching superpixels
    remove_frame : cut an artificial frame off first (and give it 0)

    Returns
    -------
    (H, W) float32 in [0, 1], stretched to that range; all 0 if nothing stands out
    """
    frame = find_frame(image) if remove_frame else Frame()
    regions = measure_regions(np.ascontiguousarray(frame.crop(image)), pixels_per_region, compactness, border_margin)
    labels, contacts, border, colour_distance, spatial_distance = regions
    given = {"clip": clip, "geodesic": sigma_geodesic, "smooth": sigma_smooth}
    estimated = colour_scales(contacts > 0, colour_distance)
    scales = estimated._replace(**{name: value for name, value in given.items() if value is not None})

    connectivity = boundary_connectivity(contacts > 0, colour_distance, border, scales.clip, scales.geodesic)
    background = background_probability(connectivity, sigma_boundary)
    contrast = weighted_contrast(colour_distance, spatial_distance, background, sigma_spatial)
    if threshold_contrast:
        contrast[contrast < otsu_threshold(contrast)] = 0.0
    background[connectivity > certain_connectivity] = 1000.0
    smoothness = smoothness_weight(contacts, colour_distance, border, scales.smooth, regularisation)
    saliency = optimise(smoothness, background_weight * background, contrast)
    return frame.restore(paint(labels, min_max(saliency)))


class Regions(NamedTuple):
    """What the method knows of an image's n superpixels.

    Attributes
    ----------
    labels : (H, W), 0..n-1
    contacts : (n, n), see `contact_orders`
    border : ids of the superpixels on the image border
    colour_distance : (n, n), between mean colours, in Lab units
    spatial_distance : (n, n), between centres, in units of the image's sides
    """

    labels: NDArray[np.int32]
    contacts: Matrix
    border: NDArray[np.int64]
    colour_distance: Matrix
    spatial_distance: Matrix


def measure_regions(
    image: NDArray[np.uint8], pixels_per_region: int = 600, compactness: float = 20.0, border_margin: int = 8
) -> Regions:
    """Divide an (H, W, 3) uint8 image into superpixels and measure them; parameters as of `rbd`."""
    height, width = image.shape[:2]
    labels = slic(image, max(1, int(height * width / pixels_per_region + 0.5)), compactness)
    colour = rgb_to_lab(region_mean(labels, image) / 255.0, "rec709")
    return Regions(
        labels,
        contact_orders(labels),
        border_regions(labels, border_margin),
        pairwise_distance(colour),
        pairwise_distance(region_centre(labels)),
    )


class ColourScales(NamedTuple):
    """Colour scales (Lab units) of one image: free step of a path, sigma of geodesic weights, sigma of smoothness."""

    clip: float
    geodesic: float
    smooth: float


def colour_scales(touching: Links, colour_distance: Matrix) -> ColourScales:
    """Estimate an image's colour scales from the distances between neighbours (authors' code; not in the paper).

    With m1, m2 the mean distance of a region to its most similar neighbour in the 1-ring, 2-ring, and `top` the mean
    of the largest 1% of 1-ring distances: clip = m2, geodesic = min(10, 3 m1, top / 10) but at least 5, and
    smooth = min(20, 3 m1, top / 5).
    """
    across = np.sort(colour_distance[np.triu(touching)])[::-1]
    if across.size == 0:
        return ColourScales(0.0, 5.0, 0.0)
    nearest = _mean_nearest(touching, colour_distance)
    top = across[: max(1, int(0.01 * across.size + 0.5))].mean()
    return ColourScales(
        clip=_mean_nearest(two_ring(touching), colour_distance),
        geodesic=float(max(5.0, min(10.0, 3.0 * nearest, top / 10.0))),
        smooth=float(min(20.0, 3.0 * nearest, 0.2 * top)),
    )


def _mean_nearest(links: Links, distance: Matrix) -> float:
    return float(np.where(links, distance, np.inf).min(axis=1).mean())


def boundary_connectivity(
    touching: Links, colour_distance: Matrix, border: NDArray[np.int64], clip: float, sigma: float
) -> Vector:
    """BndCon = Len_bnd / sqrt(Area) of each region (Section 3), (n,) float64, >= 0.

    Both are soft counts of the regions that a region reaches by cheap paths (`sigma` in Lab units): Area of all of
    them, Len_bnd of those on the border. A step costs its colour distance less `clip`; border regions are linked to
    each other, since background is one thing even where an object cuts it apart.
    """
    cost = np.maximum(0.0, colour_distance - clip)
    geodesic = geodesic_distance(with_clique(touching, border), cost)
    similarity = gaussian_weight(geodesic, sigma)
    return similarity[:, border].sum(axis=1) / np.sqrt(similarity.sum(axis=1))


def background_probability(connectivity: Vector, sigma: float = 1.0) -> Vector:
    """1 - exp(-BndCon^2 / (2 sigma^2)) of each region (Section 4), (n,) float64 in [0, 1)."""
    return 1.0 - np.exp(-(connectivity**2) / (2.0 * sigma**2))


def weighted_contrast(
    colour_distance: Matrix, spatial_distance: Matrix, background: Vector, sigma_spatial: float = 0.4
) -> Vector:
    """Contrast of each region to nearby probable background (Section 4), (n,) float64 stretched to [0, 1]."""
    return min_max((colour_distance * gaussian_weight(spatial_distance, sigma_spatial)) @ background)


def contact_orders(labels: NDArray[np.integer]) -> Matrix:
    """How two regions touch: symmetric (n, n) float64, 0 where they do not (and on the diagonal), 1 where one of them
    is always on the upper or left side of their common border, 2 where each of them is somewhere.

    The authors' adjacency matrix holds these numbers, and the optimisation (not the paper) weighs with them.
    """
    precedes = ahead(labels).astype(np.float64)
    return precedes + precedes.T


def smoothness_weight(
    contacts: Matrix, colour_distance: Matrix, border: NDArray[np.int64], sigma: float, regularisation: float = 0.1
) -> Matrix:
    """w_ij of Eq. 9, symmetric (n, n) with a zero diagonal: exp(-d^2 / (2 sigma^2)) between regions at most two steps
    apart or both on the border, plus `regularisation` (mu) times `contact_orders` between touching ones."""
    linked = with_clique(two_ring(contacts > 0), border)
    return np.where(linked, gaussian_weight(colour_distance, sigma), 0.0) + regularisation * contacts


def optimise(smoothness: Matrix, background: Vector, foreground: Vector) -> Vector:
    """Saliency (n,) that minimises Eq. 9: sum b_i s_i^2 + sum f_i (s_i - 1)^2 + sum over pairs w_ij (s_i - s_j)^2.

    It is 0 everywhere where `foreground` is.
    """
    if not foreground.any():
        return np.zeros_like(foreground)
    laplacian = np.diag(smoothness.sum(axis=1)) - smoothness
    return solve(laplacian + np.diag(background + foreground), foreground, assume_a="pos")
