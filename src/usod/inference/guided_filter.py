"""The guided filter: a map's edges moved onto the image's (He, Sun & Tang, ECCV 2010, with a colour guide).

Its coefficients are smooth, so they are computed on a smaller image (He & Sun, "Fast Guided Filter", 2015).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from usod.data.images import resize_map


def guided_filter(
    image: NDArray[np.uint8], saliency: NDArray, radius: int, epsilon: float = 1e-4, subsample: int | None = None
) -> NDArray[np.float32]:
    """In every window of side 2 radius + 1 the map is a linear function of the colour; windows are averaged.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, the guide
    saliency : (H, W) in [0, 1]
    radius : pixels; about what a network's map is off at the edges
    epsilon : regularisation of the function's slope, colours in 0..1: the variance below which a window is smoothed
    subsample : the functions are found on image and map at 1 / subsample of their sides, in windows of as much smaller
        a radius (s of He & Sun's Algorithm 2); 1: at full size, exactly; None: radius // 4, their advice

    Returns
    -------
    (H, W) float32 in [0, 1]; q = mean(a)ᵀ I + mean(b), a = (Σ + ε U)⁻¹ cov(I, p), b = mean(p) - aᵀ mean(I) (Eqs. 14-16)
    """
    s = max(1, radius // 4) if subsample is None else subsample
    small = (max(1, round(saliency.shape[0] / s)), max(1, round(saliency.shape[1] / s)))
    return guided_upsample(image, resize_map(saliency, small), round(radius / s), epsilon)


def guided_upsample(
    image: NDArray[np.uint8], values: NDArray[np.float32], radius: int, epsilon: float = 1e-4
) -> NDArray[np.float32]:
    """A small map (h, w), filtered by the image made as small, at the image's size (H, W): its edges are the image's.

    `radius` is in pixels of the small map; the rest is as in `guided_filter`.
    """
    size = image.shape[:2]
    slope, offset = _coefficients(_smaller(image, values.shape), values, radius, epsilon)
    result: NDArray[np.float32] = resize_map(offset, size).copy()
    for channel in range(3):  # one at a time: at 24 megapixels each takes 100 MB
        result += resize_map(slope[channel], size) * (image[..., channel] * np.float32(1 / 255))
    return result.clip(0, 1).astype(np.float32, copy=False)


def _smaller(image: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.float32]:
    """(3, h, w) in [0, 1]: the image at `size`, without the rounding to bytes that would drown a faint edge."""
    planes = np.stack([resize_map(image[..., c], (size[0], size[1])) for c in range(3)])
    return (planes / 255).astype(np.float32)


def _coefficients(
    guide: NDArray[np.float32], p: NDArray[np.float32], radius: int, epsilon: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """mean(a) (3, h, w) and mean(b) (h, w) for a guide (3, h, w) and a map (h, w)."""

    def mean(values: NDArray) -> NDArray:
        return uniform_filter(values, size=2 * radius + 1, mode="reflect", axes=(-2, -1))

    # What a map or a colour is on the whole does not enter a covariance, and costs digits of it.
    shift = guide.mean(axis=(1, 2), keepdims=True)
    guide = guide - shift
    centre, average = mean(guide), mean(p)
    with_map = mean(guide * p) - centre * average

    def covariance(i: int, j: int) -> NDArray[np.float64]:
        """In double precision: the determinant of a grey image's is a small difference of large numbers."""
        return (mean(guide[i] * guide[j]) - centre[i] * centre[j]).astype(np.float64) + epsilon * (i == j)

    xx, yy, zz, xy, xz, yz = (covariance(i, j) for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
    # The inverse of a symmetric 3x3 matrix by its cofactors: NumPy's solver takes far longer for millions of them.
    cofactors = np.stack([yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy])
    determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2]
    inverse = (
        cofactors,
        (cofactors[1], xx * zz - xz * xz, xy * xz - xx * yz),
        (cofactors[2], xy * xz - xx * yz, xx * yy - xy * xy),
    )
    a = np.stack([sum(row[i] * with_map[i] for i in range(3)) / determinant for row in inverse])
    a = a.astype(np.float32)
    b = mean(average - (a * centre).sum(0))
    a = mean(a)
    return a, b - (a * shift).sum(0)
