"""SLIC superpixels (Achanta et al., PAMI 2012).

Two settings of SLIC are in use among the detectors' authors and differ in the colour curve, in where the seeds lie and
in which fragments are merged; published maps depend on both, so both are here (`SlicVariant`).
"""

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from usod.regions.lab import Curve, lab_planes

SlicVariant = Literal["rbd", "epfl"]
_CURVE: dict[str, Curve] = {"rbd": "srgb-2.2", "epfl": "srgb"}
_MAX_ITERATIONS = 10


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise ValueError unless `image` is a non-empty (H, W, 3) uint8 array."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        shape = getattr(image, "shape", type(image).__name__)
        raise ValueError(
            f"image must be a non-empty (H, W, 3) RGB array, got {shape}; convert it with PIL's 'RGB' mode"
        )
    if image.dtype != np.uint8:
        raise ValueError(f"image must be uint8 in 0..255, got {image.dtype}; scale and convert it first")


def slic(
    image: NDArray[np.uint8],
    n_segments: int,
    compactness: float = 20.0,
    *,
    variant: SlicVariant = "rbd",
    lab: NDArray[np.float32] | None = None,
) -> NDArray[np.int32]:
    """Divide an image into compact regions of similar colour.

    k-means in (L, a, b, x, y) with the squared distance dLab^2 + (compactness / step)^2 dxy^2, where each centre is
    compared only with pixels at most `step` away from it; at most 10 iterations. Connected (4-neighbour) fragments
    below a quarter of a region's nominal size then join a region met before them in raster order.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    n_segments : wanted number of regions, at least 1; the result's number differs, mostly by a few per cent
    compactness : weight m of position against colour
    variant : "rbd" is the SLIC of Zhu et al. (CVPR 2014): Lab with exponent 2.2, seeds at the centres of equal cells,
        step of at least 3 pixels. "epfl" is that of Achanta et al., used by MC and DSR: Lab with exponent 2.4, seeds on
        whole pixels.
    lab : `slic_lab(image, variant)`, to spare its conversion where one image is divided several times

    Returns
    -------
    (H, W) int32 labels 0..n-1, each of them in use, numbered in raster order of first pixel

    Raises
    ------
    ValueError
        If the image is wrong, `n_segments` < 1, `compactness` <= 0 or the variant unknown.
    """
    check_image(image)
    if n_segments < 1 or compactness <= 0:
        raise ValueError(f"n_segments must be >= 1 and compactness > 0, got {n_segments} and {compactness}")
    if variant not in _CURVE:
        raise ValueError(f"variant must be one of {', '.join(_CURVE)}, got {variant!r}")
    height, width = image.shape[:2]
    step, min_size = _region_scale(height, width, n_segments, variant)
    lab = slic_lab(image, variant) if lab is None else lab
    rows, cols = _seed_grid(height, width, step, variant)
    clusters = _cluster_pixels(lab, rows, cols, step, (compactness / step) ** 2)
    # With a rim around it, a pixel's neighbours lie at fixed distances; -1 is outside.
    waiting = np.pad(clusters, 1, constant_values=-1)
    labels = np.full(waiting.shape, -1, np.int32)
    _merge_fragments(waiting.reshape(-1), width + 2, min_size, labels.reshape(-1))
    return labels[1:-1, 1:-1].copy()


def slic_lab(image: NDArray[np.uint8], variant: SlicVariant) -> NDArray[np.float32]:
    """Colours in which a variant of SLIC compares the pixels of an (H, W, 3) RGB image: (3, H, W) float32 Lab."""
    return lab_planes(image, _CURVE[variant]).astype(np.float32)


def _region_scale(height: int, width: int, n_segments: int, variant: str) -> tuple[int, int]:
    """Grid step in pixels, and the largest fragment (in pixels) that is still merged away."""
    area = height * width
    if variant == "rbd":
        step = max(int(np.sqrt(area / n_segments) + 0.5), 3)
        step = min(step, height, width)
        return step, step * step // 4
    step = min(max(int(np.sqrt(int(area / n_segments + 0.5)) + 0.5), 1), height, width)
    return step, area // (area // (step * step)) // 4


def _seed_grid(height: int, width: int, step: int, variant: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    def along(size: int) -> NDArray:
        count = size // step
        index = np.arange(count)
        if variant == "rbd":
            # Single precision, as theirs: a seed that falls on a whole pixel then keeps or loses a row of its window.
            spacing = float(np.float32(size) / np.float32(count))
            return spacing * (index + 0.5) + 0.5
        spare = (size - step * count) / count
        return (index * step + step // 2 + (index * spare).astype(int)).astype(np.float64)

    rows, cols = np.meshgrid(along(height), along(width), indexing="ij")
    return rows.ravel(), cols.ravel()


def _cluster_pixels(
    lab: NDArray[np.float32], rows: NDArray[np.float64], cols: NDArray[np.float64], step: int, spatial_factor: float
) -> NDArray[np.int32]:
    """Nearest centre of each pixel, (H, W) int32, after at most `_MAX_ITERATIONS` rounds of local k-means."""
    _, height, width = lab.shape
    row, col = np.minimum(rows.astype(int), height - 1), np.minimum(cols.astype(int), width - 1)
    centre = np.stack([*lab[:, row, col].astype(np.float64), rows, cols], axis=1)
    planes = lab.reshape(3, -1)
    labels, previous = np.zeros(height * width, np.int32), np.full(height * width, -1, np.int32)
    sums = np.zeros((rows.size, 6))
    for _ in range(_MAX_ITERATIONS):
        nearest = np.full(height * width, np.inf)
        _claim_windows(planes, nearest, labels, centre, (height, width), step, spatial_factor)
        if not _move_centres(planes, labels, previous, sums, centre, width):
            break
    return labels.reshape(height, width)


@njit(cache=True)
def _claim_windows(planes, nearest, labels, centre, size, step, spatial_factor):  # type: ignore[no-untyped-def]
    """Give each centre, in place, the pixels of its window that are nearer to it than to those before it."""
    height, width = size
    lightness, first, second = planes[0], planes[1], planes[2]
    for k in range(len(centre)):
        row, col = centre[k, 3], centre[k, 4]
        top, bottom = int(max(0.0, row - step)), int(min(float(height), row + step))
        left, right = int(max(0.0, col - step)), int(min(float(width), col + step))
        window = (top, bottom, left, right)
        _claim(lightness, first, second, nearest, labels, np.int32(k), centre[k], window, width, spatial_factor)


@njit(cache=True)
def _claim(lightness, first, second, nearest, labels, k, centre, window, width, spatial_factor):  # type: ignore[no-untyped-def]
    """Give centre k, in place, the pixels of a window that are nearer to it than to what they have.

    No branch, planes in one piece and unsigned places: so that the compiler compares several pixels at once.
    """
    top, bottom, left, right = window
    light, a, b = centre[0], centre[1], centre[2]
    across = (np.arange(left, right) - centre[4]) ** 2
    for row in range(top, bottom):
        down = (row - centre[3]) * (row - centre[3])
        start = np.uintp(row * width + left)
        for i in range(across.size):
            pixel = start + np.uintp(i)
            dl, da, db = lightness[pixel] - light, first[pixel] - a, second[pixel] - b
            distance = dl * dl + da * da + db * db + (down + across[i]) * spatial_factor
            closer = distance < nearest[pixel]
            labels[pixel] = k if closer else labels[pixel]
            nearest[pixel] = distance if closer else nearest[pixel]


@njit(cache=True)
def _move_centres(planes, labels, previous, sums, centre, width):  # type: ignore[no-untyped-def]
    """Put each centre, in place, at the mean of its pixels; a centre that has lost all of them stays where it is.

    `sums` and `previous` (-1 at first) are those of the round before, and are brought up to date: only pixels that have
    changed hands, soon one in fifty, are looked at. False, and nothing is moved, if none has.
    """
    same = True
    for pixel in range(labels.size):
        if labels[pixel] == previous[pixel]:
            continue
        same = False
        for k, sign in ((labels[pixel], 1.0), (previous[pixel], -1.0)):
            if k >= 0:
                sums[k, 0] += sign * planes[0, pixel]
                sums[k, 1] += sign * planes[1, pixel]
                sums[k, 2] += sign * planes[2, pixel]
                sums[k, 3] += sign * (pixel // width)
                sums[k, 4] += sign * (pixel % width)
                sums[k, 5] += sign
        previous[pixel] = labels[pixel]
    for k in range(len(centre)):
        if sums[k, 5] > 0 and not same:
            for feature in range(5):
                centre[k, feature] = sums[k, feature] / sums[k, 5]
    return not same


@njit(cache=True)
def _merge_fragments(waiting, across, min_size, labels):  # type: ignore[no-untyped-def]
    """Relabel 4-connected components in raster order; those of at most `min_size` pixels take an earlier label.

    `waiting` are the clusters of an image with a rim, `across` pixels wide, and becomes -1 where a pixel is done.
    """
    queue = np.empty(waiting.size, np.int64)
    label, earlier = 0, 0
    for first in range(waiting.size):
        cluster = waiting[first]
        if cluster < 0:
            continue
        for beside in (first - 1, first - across, first + 1, first + across):
            if labels[beside] >= 0:
                earlier = labels[beside]
        labels[first], waiting[first], queue[0] = label, -1, first
        size, done = 1, 0
        while done < size:
            pixel = queue[done]
            for beside in (pixel - 1, pixel - across, pixel + 1, pixel + across):
                if waiting[beside] == cluster:
                    labels[beside], waiting[beside], queue[size] = label, -1, beside
                    size += 1
            done += 1
        if size <= min_size:
            for i in range(size):
                labels[queue[i]] = earlier
        else:
            label += 1
