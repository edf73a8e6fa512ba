"""Opacity and colours of a cut-out: what belongs to the object in the pixels at its edge.

Alpha by closed-form (Levin, Lischinski & Weiss, TPAMI 2008) or KNN matting (Chen, Li & Tang, TPAMI 2013) on a trimap
that is made from the map, colours by multi-level estimation (Germer et al., ICPR 2020); all three are PyMatting's.
"""

import threading
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from usod.data.images import reduced_size, resize_image, resize_map
from usod.inference.guided_filter import guided_upsample
from usod.progress import say

ONE_THREAD = threading.Lock()
"""Held in PyMatting, whose loops run on all cores by themselves: entered by two threads, numba may end the process."""
Alpha = Literal["map", "closed-form", "knn"]

MATTING_SIDE = 800
"""Longer side at which matting is computed, pixels. Beyond it time and memory grow fast (benchmarks/RESULTS.md)."""
BAND = 0.02
"""Width of the unknown band on each side of the map's edge, in longer sides (a patch of DINOv2: .036 at 392 pixels)."""
SURE = 0.9
"""Above this value of a map a pixel may be surely salient, below 1 - SURE surely background."""


def make_trimap(saliency: NDArray, band: int) -> NDArray[np.float64]:
    """1: object, 0: background, 0.5: unknown, (H, W).

    Unknown is what the map is unsure of (between 1 - SURE and SURE), and all within `band` pixels of the line where it
    crosses 0.5. A part of the object too thin to have an inside keeps, as known, its pixels that are farthest in.
    """
    salient = saliency > 0.5
    if salient.all() or not salient.any():
        return salient.astype(np.float64)
    inside = distance_transform_edt(salient)
    outside = distance_transform_edt(~salient)
    trimap = np.full(saliency.shape, 0.5)
    trimap[(inside > band) & (saliency >= SURE)] = 1
    trimap[(outside > band) & (saliency <= 1 - SURE)] = 0
    if not (trimap == 1).any():
        trimap[inside > inside.max() / 2] = 1
    if not (trimap == 0).any():
        trimap[outside > outside.max() / 2] = 0
    return trimap


def estimate_opacity(image: NDArray[np.uint8], saliency: NDArray, method: Alpha) -> NDArray[np.float32]:
    """The opacity of every pixel, (H, W) in [0, 1].

    Larger images are matted at MATTING_SIDE, and their opacity is brought to full size along the image's edges
    (`guided_upsample`).

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    saliency : (H, W) in [0, 1]
    method : "map": the map itself; "closed-form" or "knn": matting on `make_trimap`; where that finds none, which is
        said (an image of a few pixels, or one on which the solver does not converge), the map too
    """
    if method == "map":
        return saliency.astype(np.float32)
    from pymatting import estimate_alpha_cf, estimate_alpha_knn

    size = reduced_size(image.shape[:2], MATTING_SIDE)
    small = resize_image(image, size)
    trimap = make_trimap(resize_map(saliency, size), max(2, round(BAND * max(size))))
    known = trimap != 0.5
    alpha = trimap
    if known.any() and not known.all():
        estimate = estimate_alpha_cf if method == "closed-form" else estimate_alpha_knn
        try:
            with ONE_THREAD, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a trimap that is known but for a few pixels
                alpha = estimate(small / 255.0, trimap)
        except ValueError as error:
            height, width = image.shape[:2]
            say(f"{method} matting finds no opacity for {height} x {width} pixels, the map is taken ({error})")
            return saliency.astype(np.float32)
    opacity: NDArray[np.float32] = alpha.clip(0, 1).astype(np.float32)
    if size == image.shape[:2]:
        return opacity
    full = guided_upsample(image, opacity, 2, 1e-5)
    # Where all is known around, the filter has nothing to find.
    sure = resize_map(trimap.astype(np.float32), image.shape[:2])
    return np.where((sure == 0) | (sure == 1), sure, full)


def cut_out(image: NDArray[np.uint8], alpha: NDArray[np.float32]) -> Image.Image:
    """The image as RGBA, without the background's colour in pixels that it shares with the object.

    Where it is opaque the colours are the image's own.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    alpha : (H, W) in [0, 1]
    """
    from pymatting import estimate_foreground_ml

    opacity = np.rint(alpha * 255).astype(np.uint8)
    colours = image
    if ((opacity > 0) & (opacity < 255)).any() and opacity.size > 1:  # PyMatting halves the longer side
        with ONE_THREAD:
            colours = estimate_foreground_ml(image.astype(np.float32) / 255, alpha.astype(np.float32))
        colours = np.rint(colours.clip(0, 1) * 255).astype(np.uint8)
        colours[opacity == 255] = image[opacity == 255]
    return Image.fromarray(np.dstack([colours, opacity]))
