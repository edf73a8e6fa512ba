"""Minimum barrier salient object detection, MB+ (Zhang, Sclaroff, Lin, Shen, Price and Mech, "Minimum Barrier Salient
Object Detection at 80 FPS", ICCV 2015).

Background is connected to the image border by paths along which the image hardly changes. This distance is computed on
pixels, not on superpixels. The defaults are those of the authors' published code.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter
from skimage.filters.rank import median
from skimage.morphology import reconstruction

from usod.data.images import resize_image, resize_map
from usod.handcrafted.detector import detector
from usod.handcrafted.frame import Frame, find_frame
from usod.regions.graph import min_max
from usod.regions.lab import rgb_to_lab

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
    lab = np.clip(rgb_to_lab(small) * (2.55, 1.0, 1.0) + (0.5, 128.5, 128.5), 0, 255).astype(np.uint8)
    channels = [median(lab[..., c], np.ones((5, 5))).astype(np.float64) for c in range(3)]
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
        difference = pixels - colours.mean(axis=0)
        precision = np.linalg.inv(np.cov(colours.T, bias=True) + regularisation * np.eye(3))
        distances.append(min_max(np.sqrt(np.einsum("ijk,kl,ijl->ij", difference, precision, difference))))
    return min_max(np.sum(distances, axis=0) - np.max(distances, axis=0))


def centredness(shape: tuple[int, ...]) -> Map:
    """1 at the centre of an image of this shape, falling linearly to 0 at its corners."""
    rows, cols = ((np.arange(size) + 0.5) / size - 0.5 for size in shape)
    return 1.0 - min_max(np.hypot(rows[:, None], cols))


def smooth(saliency: Map, alpha: float = 50.0) -> Map:
    """Take spots off a map in [0, 1]: opening, then closing, by reconstruction; the outlines of the rest stay (Eq. 9).

    The square is alpha sqrt(mean saliency) pixels wide, at least 3: what is left is smaller than the object.
    """
    width = max(3, int(alpha * np.sqrt(saliency.mean())))
    opened = reconstruction(minimum_filter(saliency, width), saliency, method="dilation")
    return min_max(reconstruction(maximum_filter(opened, width), opened, method="erosion"))


def enhance_contrast(saliency: Map, steepness: float = 10.0) -> Map:
    """Sigmoid around the middle between the mean of the upper and that of the lower half of the values (Eq. 11)."""
    upper = saliency >= 0.5 * saliency.max()
    means = [saliency[half].mean() for half in (upper, ~upper) if half.any()]
    return 1.0 / (1.0 + np.exp(-steepness * (saliency - np.mean(means))))
