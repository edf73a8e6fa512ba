"""What every detector takes and gives: any image as scikit-image has them, and a map at the image's own size."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usod.data.images import reduced_size, resize_image, resize_map

MAX_SIDE = 640

Map = NDArray[np.float32]

_SEEN = "image : (H, W, 3) uint8 RGB\n"
_TAKEN = f"""image : (H, W, 3) RGB, (H, W) or (H, W, 1) grey, or (H, W, 4) RGBA, which is laid over white;
        uint8, uint16, bool, or float in 0..1; anything else is a ValueError
    max_side : a larger image is first reduced to this longer side, in pixels; 0: never. Regions are meant for
        photographs of about 400x300, and memory grows with the square of their number. Default {MAX_SIDE}.
    size : (height, width) of the map; None: the image's
"""


def detector(method: Callable[..., Map]) -> Callable[..., Map]:
    """Make a detector of a method that knows (H, W, 3) uint8 RGB of moderate size.

    The detector also takes grey, transparent and deeper images (`as_rgb`), reduces larger ones to `max_side`, and
    resizes the map, once, to the image's size or to `size`. Its docstring and signature say so.

    Parameters
    ----------
    method : (H, W, 3) uint8 RGB, and keywords -> (H, W) float32 in [0, 1]
    """

    @functools.wraps(method)
    def detect(
        image: NDArray[Any], *, max_side: int = MAX_SIDE, size: tuple[int, int] | None = None, **parameters: Any
    ) -> Map:
        whole = as_rgb(image)
        height, width = whole.shape[:2]
        small = resize_image(whole, reduced_size((height, width), max_side))
        return resize_map(method(small, **parameters), size or (height, width))

    _, *added, _ = inspect.signature(detect, follow_wrapped=False).parameters.values()
    own = inspect.signature(method)
    detect.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    detect.__doc__ = (method.__doc__ or "").replace(_SEEN, _TAKEN)
    return detect


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image in the forms that scikit-image has them in -> (H, W, 3) uint8 RGB, by scikit-image's conversions.

    Raises
    ------
    ValueError
        If it is no array, empty, of another shape or type, or holds floats outside 0..1. Integers of other types are
        refused: scikit-image takes 200 for a hair above black where the type goes to 2^63.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image must be an array, got {type(image).__name__}; give numpy.asarray of it")
    if image.size == 0 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))):
        raise ValueError(
            f"image must be (H, W, 3) RGB, (H, W) grey or (H, W, 4) RGBA and not empty, got shape {image.shape}"
        )
    if image.dtype == np.uint8 and image.shape[2:] == (3,):
        return image
    if image.dtype not in (np.uint8, np.uint16, bool) and image.dtype.kind != "f":
        raise ValueError(f"image must be uint8 in 0..255, uint16, bool, or float in 0..1, got {image.dtype}")
    # Written so that NaN fails too.
    if image.dtype.kind == "f" and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"an image of floats must lie in 0..1, got {image.min():.3g}..{image.max():.3g}; scale it, or give uint8"
        )
    from skimage import color, util

    if image.ndim == 2 or image.shape[2] == 1:
        image = color.gray2rgb(image.reshape(image.shape[:2]))
    elif image.shape[2] == 4:
        image = color.rgba2rgb(image)
    return util.img_as_ubyte(image)
