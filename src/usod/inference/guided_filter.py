"""The guided filter: a map's edges moved onto the image's (He, Sun & Tang, ECCV 2010, with a colour guide)."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter


def guided_filter(
    image: NDArray[np.uint8], saliency: NDArray, radius: int, epsilon: float = 1e-4
) -> NDArray[np.float32]:
    """In every window of side 2 radius + 1 the map is a linear function of the colour; windows are averaged.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, the guide
    saliency : (H, W) in [0, 1]
    radius : pixels; about what a network's map is off at the edges
    epsilon : regularisation of the function's slope, colours in 0..1: the variance below which a window is smoothed

    Returns
    -------
    (H, W) float32 in [0, 1]; q = mean(a)ᵀ I + mean(b), a = (Σ + ε U)⁻¹ cov(I, p), b = mean(p) - aᵀ mean(I) (Eqs. 14-16)
    """
    guide = image.astype(np.float64) / 255
    p = saliency.astype(np.float64)

    def mean(values: NDArray) -> NDArray:
        return uniform_filter(values, size=(2 * radius + 1, 2 * radius + 1), mode="reflect", axes=(0, 1))

    centre = mean(guide)
    covariance = np.empty((*p.shape, 3, 3))
    for i in range(3):
        for j in range(i, 3):
            covariance[..., i, j] = mean(guide[..., i] * guide[..., j]) - centre[..., i] * centre[..., j]
            covariance[..., j, i] = covariance[..., i, j]
    average = mean(p)
    with_map = mean(guide * p[..., None]) - centre * average[..., None]
    a = np.linalg.solve(covariance + epsilon * np.eye(3), with_map[..., None])[..., 0]
    b = average - (a * centre).sum(-1)
    return np.clip((mean(a) * guide).sum(-1) + mean(b), 0, 1).astype(np.float32)
