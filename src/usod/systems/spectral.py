"""Masks from what a frozen vision transformer sees, without any training: TokenCut, Selfment, FOUND.

- TokenCut (Wang et al., CVPR 2022): the patches are a graph, linked where their keys are alike; a normalised cut
  divides it in two, and the part with the surest patch is the object.
- Selfment (You et al., arXiv 2602.23759): the cut of the patches' tokens, then means of the two parts and their
  patches are fitted to each other in turns (iterative patch optimisation).
- FOUND (Siméoni et al., CVPR 2023): the patch that gets the least attention is background, so is what is like it, and
  the rest is the object. The network that FOUND trains on these masks is any network that learns labels.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from usod.systems.spectral_settings import FoundConfig, SelfmentConfig, TokenCutConfig

Mask = NDArray[np.bool_]
DENSE = 1200
"""Patches up to which the whole matrix is decomposed; Lanczos's iteration is faster beyond, and as exact."""


def tokencut(features: np.ndarray, config: TokenCutConfig) -> Mask:
    """TokenCut's foreground (h, w) of features (h, w, C)."""
    vector = second_eigenvector(affinity(unit(features), config.tau, config.epsilon))
    return foreground(vector.reshape(features.shape[:2]), config.connected)


def selfment(features: np.ndarray, config: SelfmentConfig) -> Mask:
    """Selfment's foreground (h, w), before its patch head, of features (h, w, C)."""
    return optimise(features, tokencut(features, config), config.iterations, config.smallest)


def found(keys: np.ndarray, attention: np.ndarray, config: FoundConfig) -> Mask:
    """FOUND's foreground (h, w), before its trained layer: all that is unlike the seed of the background.

    Each head's keys and attention count the more, the fewer patches it looks at (`head_weights`).

    Parameters
    ----------
    keys : (h, w, heads * C) of the last block
    attention : (h, w, heads) of the class token
    """
    height, width, heads = attention.shape
    weights = head_weights(attention)
    seed = int(np.argmin(attention.reshape(-1, heads) @ weights))
    weighted = keys.reshape(height, width, heads, -1) * weights[:, None]
    alike = unit(weighted.reshape(height, width, -1)).reshape(height * width, -1)
    return (alike @ alike[seed] <= config.similarity).reshape(height, width)


def unit(features: np.ndarray) -> NDArray[np.float64]:
    """Features (h, w, C) as vectors of length 1: (h * w, C); one of zeros stays so."""
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


def affinity(vectors: np.ndarray, tau: float, epsilon: float) -> NDArray[np.float64]:
    """A_ij = 1 where v_i . v_j > tau, else epsilon: (N, N) of (N, C)."""
    return np.where(vectors @ vectors.T > tau, 1.0, epsilon)


def second_eigenvector(weights: np.ndarray) -> NDArray[np.float64]:
    """The v of the second smallest lambda in (D - A) v = lambda D v, D the row sums of A: (N, N) -> (N,).

    With u = D^1/2 v it is that of the second largest eigenvalue, 1 - lambda, of D^-1/2 A D^-1/2. Its sign says nothing.
    """
    root = np.sqrt(weights.sum(1))
    normalised = weights / root / root[:, None]
    count = len(root)
    if count == 1:
        return np.zeros(1)
    if count > DENSE:
        try:
            # The same start gives the same bits. Eigenvalues ascend.
            start = np.random.default_rng(0).standard_normal(count)
            return eigsh(normalised, k=2, which="LA", v0=start)[1][:, 0] / root
        except ArpackNoConvergence:
            pass  # many parts that are hardly linked have nearly the same eigenvalue
    return eigh(normalised, subset_by_index=[count - 2, count - 2])[1][:, 0] / root


def foreground(vector: np.ndarray, connected: bool) -> Mask:
    """Which of the two parts of a cut (h, w) is the object: that of the seed, the entry of greatest magnitude.

    The parts are v > mean and the rest. `connected`: only what hangs together with the seed by the sides of patches.
    """
    seed = np.unravel_index(np.argmax(np.abs(vector)), vector.shape)
    above = vector > vector.mean()
    mask = above if above[seed] else ~above
    if not connected:
        return mask
    parts, _ = ndimage.label(mask)
    return parts == parts[seed]


def optimise(features: np.ndarray, mask: Mask, iterations: int, smallest: int) -> Mask:
    """Selfment's iterative patch optimisation of a foreground (h, w), until nothing changes.

    With mu_f and mu_b the means of the foreground's and the background's unit vectors, a patch f is foreground where
    f . mu_f > f . mu_b. Where mu_f - mu_b turns against what it was at first, the two have changed places and are
    changed back. A mask that leaves one of them less than `smallest` patches is not taken.

    Parameters
    ----------
    features : (h, w, C)
    """
    vectors, flat = unit(features), mask.ravel()
    first = None
    for _ in range(iterations):
        if min(flat.sum(), (~flat).sum()) < smallest:
            break
        difference = vectors[flat].mean(0) - vectors[~flat].mean(0)
        first = difference if first is None else first
        if difference @ first < 0:
            difference = -difference
        following = vectors @ difference > 0
        if min(following.sum(), (~following).sum()) < smallest or np.array_equal(following, flat):
            break
        flat = following
    return flat.reshape(mask.shape)


def head_weights(attention: np.ndarray) -> NDArray[np.float64]:
    """beta_h = log(sum_g Q_g / Q_h), Q_h the share of patches to which head h gives more than the image's mean.

    Parameters
    ----------
    attention : (h, w, heads) of the class token; the mean is that of all heads

    Returns
    -------
    (heads,); 1 of a single head
    """
    share = (attention > attention.mean()).mean((0, 1), dtype=np.float64) + 1e-10
    weights: NDArray[np.float64] = np.log(share.sum() / share)
    return weights if weights.any() else np.ones_like(weights)
