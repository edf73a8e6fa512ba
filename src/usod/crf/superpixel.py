"""The iterative CRF of WSS (Wang et al., CVPR 2017, section 3.4, Algorithm 1), with appearance models.

An image is cut into superpixels. Two Gaussian mixtures say how salient and background superpixels of this image look;
a fully connected CRF smooths what they say; the mixtures are fitted again to its labels, and so on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import expit
from sklearn.mixture import GaussianMixture

from usod.crf.checks import check_images, check_probabilities
from usod.regions.lab import lab_planes
from usod.regions.labels import border_regions, region_centre, region_mean
from usod.regions.superpixels import slic

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SuperpixelParams:
    """Settings of the iterative CRF. Kernel widths and weights are the released code's; the paper gives none.

    Attributes
    ----------
    count : superpixels per image, about; fewer where they would be smaller than 16 pixels. The authors have one for 512
        pixels of an image of 500 x 375; ours are smaller, and mixtures of six channels need samples.
    components : Gaussians of each mixture (3.4: K = 5)
    iterations, steps : of Algorithm 1, and of message passing within each (3.4: 5 and 5)
    rho1, gamma1, gamma2 : weight of the appearance kernel (Eq. 8), its width in image sides and in colour (six
        channels, RGB and Lab, each scaled to 0..1)
    rho2, gamma3 : weight of the smoothness kernel (Eq. 9) and its width in image sides
    covariance : added to the variances of the mixtures, on the scale 0..255
    offset : added to the probability in the unary term (released code: 0.1, which bounds it; the paper: 0)
    threshold : the map is binarised above it first (released code: 0.65); None: it is not (3.4)
    border : False, as released: superpixels at the image's border are background throughout; the paper does not say so
    """

    count: int = 350
    components: int = 5
    iterations: int = 5
    steps: int = 5
    rho1: float = 1.0
    gamma1: float = 0.0707
    gamma2: float = 0.1
    rho2: float = 0.5
    gamma3: float = 0.01
    covariance: float = 0.01
    offset: float = 0.0
    threshold: float | None = None
    border: bool = True


def refine_with_superpixels(
    image: NDArray[np.uint8], saliency: NDArray, params: SuperpixelParams | None = None, seed: int = 0
) -> NDArray[np.bool_]:
    """A mask of what the saliency map shows, along the borders of superpixels.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    saliency : (H, W) float in [0, 1]
    seed : of the mixtures' initialisation

    Returns
    -------
    (H, W) bool. Where nothing, or everything, is salient there is nothing to learn: that comes back.

    Raises
    ------
    ValueError
        If a shape, type or value is not as above.
    """
    check_images(image, (3,), "(H, W, 3)")
    check_probabilities(saliency)
    if saliency.shape != image.shape[:2]:
        raise ValueError(f"probabilities {saliency.shape} do not fit an image of {image.shape[:2]}")
    params = params or SuperpixelParams()
    regions = superpixels(image, params.count)
    colours, positions = features(image, regions)
    count = len(colours)
    salient = saliency if params.threshold is None else saliency > params.threshold
    start = region_mean(regions, salient)[:, 0] > 0.5
    fixed = np.zeros(count, bool)
    if not params.border:
        fixed[border_regions(regions)] = True
    return refine_labels(colours, positions, start & ~fixed, params, fixed, seed)[regions]


def superpixels(image: NDArray[np.uint8], count: int = 350) -> NDArray[np.int32]:
    """(H, W) region numbers 0, 1, ... (SLIC; the authors use structured edges, whose model is not free)."""
    count = max(1, min(count, image.shape[0] * image.shape[1] // 16))
    return slic(image, count, 10.0, variant="epfl")


def features(image: NDArray[np.uint8], regions: NDArray[np.int32]) -> tuple[Array, Array]:
    """Mean RGB and Lab of each superpixel, (n, 6) scaled to 0..1, and its centre, (n, 2) in image sides."""
    lab = (np.moveaxis(lab_planes(image), 0, -1) + np.array([0, 128, 128])) / (100, 255, 255)
    return region_mean(regions, np.concatenate([image / 255, lab], axis=2)), region_centre(regions)


def refine_labels(
    colours: Array,
    positions: Array,
    labels: NDArray[np.bool_],
    params: SuperpixelParams,
    fixed: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Algorithm 1 on n superpixels.

    Parameters
    ----------
    colours, positions : as `features` gives them
    labels : (n,) bool, alpha^0
    fixed : (n,) bool, superpixels that are background throughout

    Returns
    -------
    (n,) bool, alpha*
    """
    fixed = np.zeros(len(labels), bool) if fixed is None else fixed
    kernel = pairwise(colours, positions, params)
    for _ in range(params.iterations):
        if not labels.any() or labels.all():
            return labels
        foreground = mean_field(unary(colours, labels, params, seed), kernel, params.steps, fixed)
        updated = foreground > 0.5
        if np.array_equal(updated, labels):
            break
        labels = updated
    return labels


def unary(colours: Array, labels: NDArray[np.bool_], params: SuperpixelParams, seed: int = 0) -> Array:
    """psi_u(alpha_i) = -log p(z_i | omega_alpha) / (p(z_i | omega_0) + p(z_i | omega_1)), (n, 2) for alpha = 0, 1."""
    scaled = 255 * colours
    density = [_mixture(scaled[labels == label], params, seed).score_samples(scaled) for label in (False, True)]
    share = expit(density[1] - density[0])  # of the foreground's mixture
    floor = params.offset or 1e-12
    return -np.log(np.stack([1 - share, share], axis=1) + floor)


def _mixture(samples: Array, params: SuperpixelParams, seed: int) -> GaussianMixture:
    """A mixture of `components` Gaussians; fewer where each would have less samples than it has dimensions.

    A Gaussian fitted to fewer lies on a plane of its own, and no other superpixel is ever near it.
    """
    components = max(1, min(params.components, len(samples) // (samples.shape[1] + 1)))
    samples = samples if len(samples) > 1 else np.repeat(samples, 2, axis=0)
    return GaussianMixture(components, reg_covar=max(params.covariance, 1e-6), random_state=seed).fit(samples)


def pairwise(colours: Array, positions: Array, params: SuperpixelParams) -> Array:
    """rho1 g1 + rho2 g2 (Eqs. 8, 9), (n, n), zero from a superpixel to itself."""
    colour = cdist(colours, colours, "sqeuclidean")
    place = cdist(positions, positions, "sqeuclidean")
    appearance = np.exp(-place / (2 * params.gamma1**2) - colour / (2 * params.gamma2**2))
    kernel = params.rho1 * appearance + params.rho2 * np.exp(-place / (2 * params.gamma3**2))
    np.fill_diagonal(kernel, 0)
    return kernel


def mean_field(energy: Array, kernel: Array, steps: int, fixed: NDArray[np.bool_] | None = None) -> Array:
    """P(alpha_i = 1) after `steps` parallel updates of Algorithm 1, lines 4 to 8.

    Parameters
    ----------
    energy : (n, 2), psi_u for alpha = 0, 1
    kernel : (n, n), the pairwise term of different labels
    fixed : (n,) bool, superpixels whose P(alpha_i = 1) is 0
    """
    evidence = energy[:, 0] - energy[:, 1]
    foreground = expit(evidence)
    for step in range(steps + 1):
        if fixed is not None:
            foreground[fixed] = 0
        if step == steps:
            break
        # Potts: a label costs the neighbours' probability of the other one. 2 P(1) - 1 is the difference of the two.
        foreground = expit(evidence + kernel @ (2 * foreground - 1))
    return foreground
