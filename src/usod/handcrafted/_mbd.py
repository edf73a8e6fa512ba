"""Minimum barrier salient object detection, MB+ (Zhang, Sclaroff, Lin, Shen, Price and Mech, "Minimum Barrier Salient
Object Detection at 80 FPS", ICCV 2015).

Background is connected to the image border by paths along which the image hardly changes. This distance is computed on
pixels, not on superpixels. The defaults are those of the authors' published code.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from usod.data.images import resize_image, resize_map
from usod.handcrafted.detector import detector
from usod.handcrafted.frame import Frame, find_frame
from usod.regions.graph import min_max
from usod.regions.lab import lab_planes

Map = NDArray[np.float64]


@detector
def mbd(
    image: NDArray[np.uint8],
    *,
    working_side: int = 300,
    passes: int = 3,
    background_cue: bool = True,
    postprocess: bool = True,
    smoothing: float = 50.0,
    contrast: float = 10.0,
    remove_frame: bool = True,
) -> NDArray[np.float32]:
    """Saliency as the minimum barrier distance to the image border.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    working_side : the distances are computed at this longer side in pixels, or at the image's where that is less
    passes : raster scans of the distance transform, K
    background_cue : add the distance of each colour to those of the border strips, which makes MB into MB+
    postprocess : centre prior, smoothing and contrast enhancement; without it, the plain sum of the cues
    smoothing, contrast : alpha of Eq. 9 and b of Eq. 11, see `smooth` and `enhance_contrast`
    remove_frame : cut an artificial frame off first (and give it 0)

    Returns
    -------
    (H, W) float32 in [0, 1], stretched to that range; all 0 if nothing stands out
    """
    frame = find_frame(image) if remove_frame else Frame()
    inner = np.ascontiguousarray(frame.crop(image))
    height, width = inner.shape[:2]
    scale = min(1.0, working_side / max(height, width))
    small = resize_image(inner, (max(1, round(scale * height)), max(1, round(scale * width))))

    # In 8-bit Lab, L spans 0..255 too: lightness counts as much as a and b.
    lab = lab_planes(small).T * (2.55, 1.0, 1.0) + (0.5, 128.5, 128.5)
    channels = [_median(plane).astype(np.float64) for plane in np.clip(lab, 0, 255).T.astype(np.uint8)]
    saliency = min_max(np.sum([barrier_distance(channel, passes) for channel in channels], axis=0))
    if background_cue:
        saliency = saliency + border_contrast(small)
    if postprocess:
        saliency = min_max(saliency * centredness(saliency.shape))
        saliency = enhance_contrast(smooth(saliency, smoothing), contrast)
    return frame.restore(resize_map(min_max(saliency), (height, width)))


def barrier_distance(channel: Map, passes: int = 3) -> Map:
    """FastMBD (Algorithm 1): approximate minimum barrier distance of each pixel to the image border.

    The barrier of a path is the highest value on it less the lowest; the distance is the least barrier of all paths,
    and what the scans find is never less. (H, W) in and out, 0 on the border.
    """
    distance = np.full(channel.shape, np.inf)
    distance[[0, -1], :] = distance[:, [0, -1]] = 0.0
    highest, lowest = channel.copy(), channel.copy()
    for scan in range(passes):
        # The inverse raster scan is the raster scan of the image turned upside down.
        turn = slice(None, None, -1 if scan % 2 else 1)
        _raster_scan(channel[turn, turn], distance[turn, turn], highest[turn, turn], lowest[turn, turn])
    return distance


@njit(cache=True)
def _raster_scan(channel, distance, highest, lowest):  # type: ignore[no-untyped-def]
    """Extend the best paths, in place, from each pixel's upper and left neighbour to it."""
    for row in range(channel.shape[0]):
        for col in range(channel.shape[1]):
            for r, c in ((row - 1, col), (row, col - 1)):
                if r >= 0 and c >= 0:
                    high = max(highest[r, c], channel[row, col])
                    low = min(lowest[r, c], channel[row, col])
                    if high - low < distance[row, col]:
                        distance[row, col], highest[row, col], lowest[row, col] = high - low, high, low


def border_contrast(image: NDArray[np.uint8], margin: float = 0.1, regularisation: float = 50.0) -> Map:
    """Background cue: how unlike the colours along the image's four sides each pixel is, (H, W) in [0, 1].

    The Mahalanobis distances to the colours of the four strips, `margin` of the image wide, are stretched to 0..1 and
    added, without the largest: one strip may show the object. `regularisation` is added to the variances (RGB 0..255).
    (The authors' code sums absolute values along the whitened axes instead, to the same effect.)
    """
    pixels = image.astype(np.float64)
    rows, cols = (max(1, round(margin * side)) for side in image.shape[:2])
    distances = []
    for strip in (pixels[:rows], pixels[-rows:], pixels[:, :cols], pixels[:, -cols:]):
        colours = strip.reshape(-1, 3)
        precision = np.linalg.inv(np.cov(colours.T, bias=True) + regularisation * np.eye(3))
        distances.append(min_max(_mahalanobis(pixels, colours.mean(axis=0), precision)))
    return min_max(np.sum(distances, axis=0) - np.max(distances, axis=0))


@njit(cache=True)
def _mahalanobis(pixels, mean, precision):  # type: ignore[no-untyped-def]
    """sqrt((x - mean)' precision (x - mean)) of each pixel x, (H, W) of (H, W, 3)."""
    distance = np.empty(pixels.shape[:2])
    for r in range(pixels.shape[0]):
        for c in range(pixels.shape[1]):
            x, y, z = pixels[r, c, 0] - mean[0], pixels[r, c, 1] - mean[1], pixels[r, c, 2] - mean[2]
            square = precision[0, 0] * x * x + precision[1, 1] * y * y + precision[2, 2] * z * z
            square += 2.0 * (precision[0, 1] * x * y + precision[0, 2] * x * z + precision[1, 2] * y * z)
            distance[r, c] = np.sqrt(max(square, 0.0))
    return distance


@njit(cache=True)
def _median(channel, reach=2):  # type: ignore[no-untyped-def]
    """Median of the square of 2 reach + 1 pixels around each, as far as the image goes: (H, W) uint8 in and out.

    Of an even number of pixels it is the upper of the two in the middle. One histogram slides along a row (Huang, Yang
    and Tang, 1979).
    """
    height, width = channel.shape
    result = np.empty((height, width), np.uint8)
    for r in range(height):
        top, bottom = max(r - reach, 0), min(r + reach + 1, height)
        histogram = np.zeros(256, np.int64)
        middle, below, count = 0, 0, 0  # `below`: how many values are less than `middle`
        for c in range(-reach, width):
            if c + reach < width:
                for i in range(top, bottom):
                    value = channel[i, c + reach]
                    histogram[value] += 1
                    below += value < middle
                count += bottom - top
            if c - reach > 0:
                for i in range(top, bottom):
                    value = channel[i, c - reach - 1]
                    histogram[value] -= 1
                    below -= value < middle
                count -= bottom - top
            if c < 0:
                continue
            while 2 * below > count:
                middle -= 1
                below -= histogram[middle]
            while 2 * (below + histogram[middle]) <= count:
                below += histogram[middle]
                middle += 1
            result[r, c] = middle
    return result


def centredness(shape: tuple[int, ...]) -> Map:
    """1 at the centre of an image of this shape, falling linearly to 0 at its corners."""
    rows, cols = ((np.arange(size) + 0.5) / size - 0.5 for size in shape)
    return 1.0 - min_max(np.hypot(rows[:, None], cols))


def smooth(saliency: Map, alpha: float = 50.0) -> Map:
    """Take spots off a map in [0, 1]: opening, then closing, by reconstruction; the outlines of the rest stay (Eq. 9).

    The square is alpha sqrt(mean saliency) pixels wide, at least 3: what is left is smaller than the object.
    """
    width = max(3, int(alpha * np.sqrt(saliency.mean())))
    opened = reconstruct(minimum_filter(saliency, width), saliency)
    return min_max(-reconstruct(-maximum_filter(opened, width), -opened))


def reconstruct(marker: Map, mask: Map) -> Map:
    """Morphological reconstruction by dilation with 8 neighbours, (H, W); `marker` is nowhere above `mask`."""
    # A rim that is never raised spares the look whether a neighbour exists.
    value, limit = (np.pad(values, 1, constant_values=-np.inf) for values in (marker, mask))
    _reconstruct(value, limit)
    return value[1:-1, 1:-1].copy()


@njit(cache=True)
def _reconstruct(value, limit):  # type: ignore[no-untyped-def]
    """`reconstruct` in place: scans, then a queue (Vincent, 1993)."""
    height, width = limit.shape[0] - 2, limit.shape[1] - 2
    for r in range(1, height + 1):
        for c in range(1, width + 1):
            around = max(value[r - 1, c - 1], value[r - 1, c], value[r - 1, c + 1], value[r, c - 1], value[r, c])
            value[r, c] = min(around, limit[r, c])
    waiting = []
    for r in range(height, 0, -1):
        for c in range(width, 0, -1):
            around = max(value[r + 1, c - 1], value[r + 1, c], value[r + 1, c + 1], value[r, c + 1], value[r, c])
            here = value[r, c] = min(around, limit[r, c])
            for i, j in ((r + 1, c - 1), (r + 1, c), (r + 1, c + 1), (r, c + 1)):
                if value[i, j] < here and value[i, j] < limit[i, j]:
                    waiting.append((r, c))
                    break
    while len(waiting) > 0:
        following = []
        for r, c in waiting:
            here = value[r, c]
            for i in range(r - 1, r + 2):
                for j in range(c - 1, c + 2):
                    if value[i, j] < here and value[i, j] < limit[i, j]:
                        value[i, j] = min(here, limit[i, j])
                        following.append((i, j))
        waiting = following


def enhance_contrast(saliency: Map, steepness: float = 10.0) -> Map:
    """Sigmoid around the middle between the mean of the upper and that of the lower half of the values (Eq. 11)."""
    upper = saliency >= 0.5 * saliency.max()
    means = [saliency[half].mean() for half in (upper, ~upper) if half.any()]
    return 1.0 / (1.0 + np.exp(-steepness * (saliency - np.mean(means))))
