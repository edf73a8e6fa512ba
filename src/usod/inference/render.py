"""What a map is made into: a mask, the image cut out, an overlay."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from usod.data.store import to_uint8
from usod.errors import UsageError
from usod.inference.guided_filter import guided_filter
from usod.inference.matting import Alpha, cut_out, estimate_opacity

Kind = Literal["map", "mask", "rgba", "overlay"]
KINDS = ("map", "mask", "rgba", "overlay")
COLOUR = np.array([230, 0, 115])


def binarise(saliency: NDArray, threshold: str | float = 0.5) -> NDArray[np.bool_]:
    """The salient pixels of a map.

    Parameters
    ----------
    saliency : (H, W) in [0, 1]
    threshold : a number in 0..1, salient above it; "adaptive": from twice the map's mean on, at most 1 (Achanta et al.
        2009); "otsu": above Otsu's threshold of this map

    Raises
    ------
    UsageError
        If the threshold is none of these.
    """
    if threshold == "adaptive":
        return saliency >= min(2 * float(saliency.mean()), 1.0) if saliency.any() else np.zeros(saliency.shape, bool)
    if threshold == "otsu":
        flat = saliency.max() == saliency.min()
        return saliency > (0.5 if flat else threshold_otsu(saliency))
    try:
        level = float(threshold)
    except ValueError:
        level = -1.0
    if not 0 <= level <= 1:
        raise UsageError(f"--threshold {threshold}: give a number from 0 to 1, adaptive or otsu")
    return saliency > level


def clean(mask: NDArray[np.bool_], smallest: float = 0.0, fill: bool = False) -> NDArray[np.bool_]:
    """A mask without small regions, and without holes.

    Parameters
    ----------
    smallest : regions of less than this share of the image are dropped
    fill : holes that do not touch the border become salient
    """
    if smallest > 0:
        regions, count = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(regions.ravel(), minlength=count + 1)
        keep = sizes >= smallest * mask.size
        keep[0] = False
        mask = keep[regions]
    return ndimage.binary_fill_holes(mask) if fill else mask


def render(
    kind: Kind,
    image: NDArray[np.uint8],
    saliency: NDArray,
    threshold: str | float = 0.5,
    smallest: float = 0.0,
    fill: bool = False,
    edges: int = 0,
    alpha: Alpha = "map",
) -> Image.Image:
    """A picture of the image's size.

    Parameters
    ----------
    kind : "map": the map in grey; "mask": salient 255, else 0; "rgba": the object cut out, its colours freed of the
        background's (`usod.inference.matting`); "overlay": the image in grey, what is salient in colour with a
        line around it
    image : (H, W, 3) uint8 RGB
    saliency : (H, W) in [0, 1]
    threshold, smallest, fill : of masks and overlays, see `binarise` and `clean`; of rgba too when `smallest` or `fill`
        is given: what is not in the mask becomes transparent, filled holes opaque
    edges : radius in pixels of the guided filter that moves the map's edges onto the image's, first of all; 0: none
    alpha : of rgba, where its opacity is from
    """
    if edges:
        saliency = guided_filter(image, saliency, edges)
    if kind == "map":
        return Image.fromarray(to_uint8(saliency))
    if kind == "rgba" and not smallest and not fill:
        return cut_out(image, estimate_opacity(image, saliency, alpha))
    found = binarise(saliency, threshold)
    mask = clean(found, smallest, fill)
    if kind == "mask":
        return Image.fromarray(mask.astype(np.uint8) * 255)
    if kind == "rgba":
        whole = np.where(mask & ~found, 1, saliency) * mask
        return cut_out(image, estimate_opacity(image, whole, alpha))
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2) * 0.6
    shown = np.where(mask[..., None], image, grey)
    width = max(1, round(min(mask.shape) / 200))
    edge = ndimage.binary_dilation(mask, iterations=width) & ~mask
    shown[edge] = COLOUR
    return Image.fromarray(shown.astype(np.uint8))
