"""SLIC superpixels (Achanta et al., PAMI 2012) and the measurements of label maps that the detectors share.

Two settings of SLIC are in use among the detectors' authors and differ in the colour curve, in where the seeds lie and
in which fragments are merged; published maps depend on both, so both are here (`SlicVariant`).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

SlicVariant = Literal["rbd", "epfl"]
Curve = Literal["srgb", "srgb-2.2", "rec709"]

# D65 tristimulus values and the sRGB matrix, as printed in IEC 61966-2-1.
_WHITE = np.array([0.9505, 1.0, 1.089])
_XYZ_FROM_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
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


def rgb_to_lab(rgb: NDArray, curve: Curve = "srgb") -> NDArray[np.float64]:
    """CIE L*a*b* (D65) of RGB colours.

    Parameters
    ----------
    rgb : (..., 3); uint8 in 0..255, or float in 0..1
    curve : how values relate to light: "srgb" (IEC 61966-2-1, exponent 2.4), "srgb-2.2" (the same with exponent 2.2) or
        "rec709" (ITU-R BT.709)

    Returns
    -------
    (..., 3) float64: L in 0..100, a and b about -128..127
    """
    if rgb.dtype == np.uint8:
        linear = _LINEAR[curve](np.arange(256) / 255.0)[rgb]
    else:
        linear = _LINEAR[curve](np.asarray(rgb, dtype=np.float64))
    t = linear @ (_XYZ_FROM_RGB / _WHITE[:, None]).T
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16.0 / 116.0)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def _linear_from_srgb(rgb: NDArray[np.float64], gamma: float = 2.4) -> NDArray[np.float64]:
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** gamma, rgb / 12.92)


def _linear_from_rec709(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    # BT.709's slope of 4.5 with the further digits that make the two pieces meet, as in the authors' converters.
    return np.where(rgb > 0.018 * 4.5138, ((rgb + 0.099) / 1.099) ** (1.0 / 0.45), rgb / 4.5138)


_LINEAR: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "srgb": _linear_from_srgb,
    "srgb-2.2": partial(_linear_from_srgb, gamma=2.2),
    "rec709": _linear_from_rec709,
}


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
    clusters = _cluster_pixels(lab, rows, cols, step, (compactness / step) ** 2, _MAX_ITERATIONS)
    return _merge_fragments(clusters, min_size)


def slic_lab(image: NDArray[np.uint8], variant: SlicVariant) -> NDArray[np.float32]:
    """Colours in which a variant of SLIC compares the pixels of an (H, W, 3) RGB image: (H, W, 3) float32 Lab."""
    return rgb_to_lab(image, _CURVE[variant]).astype(np.float32)


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


@njit(cache=True)
def _cluster_pixels(lab, rows, cols, step, spatial_factor, max_iterations):  # type: ignore[no-untyped-def]
    """Nearest centre of each pixel, (H, W) int32, after at most `max_iterations` rounds of local k-means."""
    height, width = lab.shape[:2]
    n = rows.size
    centre = np.empty((n, 5))
    for k in range(n):
        r, c = min(int(rows[k]), height - 1), min(int(cols[k]), width - 1)
        centre[k, 0], centre[k, 1], centre[k, 2] = lab[r, c, 0], lab[r, c, 1], lab[r, c, 2]
        centre[k, 3], centre[k, 4] = rows[k], cols[k]
    labels = np.zeros((height, width), np.int32)
    previous = np.zeros((height, width), np.int32)
    nearest = np.empty((height, width))
    for _ in range(max_iterations):
        nearest[:] = np.inf
        for k in range(n):
            cl, ca, cb, cr, cc = centre[k]
            first_col, last_col = int(max(0.0, cc - step)), int(min(float(width), cc + step))
            for r in range(int(max(0.0, cr - step)), int(min(float(height), cr + step))):
                row_part = (r - cr) * (r - cr)
                for c in range(first_col, last_col):
                    dl, da, db = lab[r, c, 0] - cl, lab[r, c, 1] - ca, lab[r, c, 2] - cb
                    distance = dl * dl + da * da + db * db + (row_part + (c - cc) * (c - cc)) * spatial_factor
                    if distance < nearest[r, c]:
                        nearest[r, c] = distance
                        labels[r, c] = k
        _move_centres(lab, labels, centre)
        changed = False
        for r in range(height):
            for c in range(width):
                if labels[r, c] != previous[r, c]:
                    changed = True
                    previous[r, c] = labels[r, c]
        if not changed:
            break
    return labels


@njit(cache=True)
def _move_centres(lab, labels, centre):  # type: ignore[no-untyped-def]
    """Put each centre, in place, at the mean of its pixels; a centre that has lost all of them stays where it is."""
    height, width = labels.shape
    total = np.zeros_like(centre)
    count = np.zeros(centre.shape[0])
    for r in range(height):
        for c in range(width):
            k = labels[r, c]
            total[k, 0] += lab[r, c, 0]
            total[k, 1] += lab[r, c, 1]
            total[k, 2] += lab[r, c, 2]
            total[k, 3] += r
            total[k, 4] += c
            count[k] += 1.0
    for k in range(centre.shape[0]):
        if count[k] > 0:
            for j in range(5):
                centre[k, j] = total[k, j] / count[k]


@njit(cache=True)
def _merge_fragments(clusters, min_size):  # type: ignore[no-untyped-def]
    """Relabel 4-connected components in raster order; those of at most `min_size` pixels take an earlier label."""
    height, width = clusters.shape
    labels = np.full((height, width), -1, np.int32)
    queue = np.empty((height * width, 2), np.int32)
    steps = ((0, -1), (-1, 0), (0, 1), (1, 0))
    label, earlier = 0, 0
    for row in range(height):
        for col in range(width):
            if labels[row, col] >= 0:
                continue
            for dr, dc in steps:
                r, c = row + dr, col + dc
                if 0 <= r < height and 0 <= c < width and labels[r, c] >= 0:
                    earlier = labels[r, c]
            labels[row, col] = label
            queue[0, 0], queue[0, 1] = row, col
            size, done = 1, 0
            while done < size:
                for dr, dc in steps:
                    r, c = queue[done, 0] + dr, queue[done, 1] + dc
                    inside = 0 <= r < height and 0 <= c < width
                    if inside and labels[r, c] < 0 and clusters[r, c] == clusters[row, col]:
                        labels[r, c] = label
                        queue[size, 0], queue[size, 1] = r, c
                        size += 1
                done += 1
            if size <= min_size:
                for k in range(size):
                    labels[queue[k, 0], queue[k, 1]] = earlier
            else:
                label += 1
    return labels


def region_size(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Pixels in each region: (H, W) labels 0..n-1 -> (n,) int64."""
    return np.bincount(labels.ravel())


def region_mean(labels: NDArray[np.integer], values: NDArray) -> NDArray[np.float64]:
    """Mean of `values` over each region: (H, W) labels 0..n-1 and (H, W, C) or (H, W) values -> (n, C) float64."""
    if values.shape[:2] != labels.shape:
        raise ValueError(f"values of shape {values.shape} do not fit labels of shape {labels.shape}")
    flat = labels.ravel()
    columns = values.reshape(flat.size, -1)
    sums = [np.bincount(flat, weights=columns[:, c]) for c in range(columns.shape[1])]
    return np.stack(sums, axis=1).astype(np.float64) / region_size(labels)[:, None]


def region_centre(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean (row / H, column / W) of each region, (n, 2) float64: each axis is measured in its own image side."""
    height, width = labels.shape
    flat = labels.ravel()
    rows = np.bincount(flat, weights=np.repeat(np.arange(height), width))
    cols = np.bincount(flat, weights=np.tile(np.arange(width), height))
    return np.stack([rows / height, cols / width], axis=1) / region_size(labels)[:, None]


def neighbour_pairs(labels: NDArray[np.integer], connectivity: Literal[4, 8] = 4) -> NDArray[np.int64]:
    """Pairs of touching regions, (m, 2) int64 with i < j, sorted, each pair once.

    Regions touch where one of their pixels is the other's 4-neighbour (`connectivity` 8: also diagonal neighbour).

    Raises
    ------
    ValueError
        If `connectivity` is neither 4 nor 8.
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity}")
    sides = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    if connectivity == 8:
        sides += [(labels[:-1, :-1], labels[1:, 1:]), (labels[:-1, 1:], labels[1:, :-1])]
    n = int(labels.max()) + 1
    codes = []
    for a, b in sides:
        differ = a != b
        first, second = a[differ].astype(np.int64), b[differ].astype(np.int64)
        codes.append(np.minimum(first, second) * n + np.maximum(first, second))
    code = np.unique(np.concatenate(codes))
    return np.stack([code // n, code % n], axis=1)


def adjacency(labels: NDArray[np.integer], connectivity: Literal[4, 8] = 4) -> NDArray[np.bool_]:
    """1-ring adjacency of regions: symmetric (n, n) bool with False on the diagonal; see `neighbour_pairs`."""
    n = int(labels.max()) + 1
    touching = np.zeros((n, n), dtype=bool)
    first, second = neighbour_pairs(labels, connectivity).T
    touching[first, second] = touching[second, first] = True
    return touching


def border_regions(labels: NDArray[np.integer], margin: int = 1) -> NDArray[np.int64]:
    """Sorted ids of the regions with a pixel less than `margin` pixels from the image border (1: on the border)."""
    strips = (labels[:margin], labels[-margin:], labels[:, :margin], labels[:, -margin:])
    return np.unique(np.concatenate([strip.ravel() for strip in strips])).astype(np.int64)
