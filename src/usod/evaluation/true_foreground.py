"""How much of what maps are sure of is foreground: LDPS's true foreground ratio (AAAI 2020, 5.5)."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usod.data.images import resize_map
from usod.data.mapstore import Maps
from usod.data.store import require_ids


def true_foreground(
    maps: Maps,
    masks: Mapping[str, NDArray[np.bool_]],
    thresholds: Sequence[float],
    progress: Callable[[Sequence[str]], Iterable[str]] | None = None,
) -> pd.DataFrame:
    """The precision of maps at thresholds, over all images together and image by image.

    A map of another size than its mask is resized to it, bilinearly.

    Parameters
    ----------
    maps : in [0, 1]
    masks : id -> (H, W) bool
    thresholds : in [0, 1]; a pixel is sure from there on
    progress : wraps the list of ids, e.g. tqdm

    Returns
    -------
    a row per threshold: `theta`; `ratio`, the share of foreground among all sure pixels of all images, NaN without any;
    `image_mean`, the mean of that share over the images that have some; `images`, how many these are; `area`, the
    share of all pixels that is sure

    Raises
    ------
    UsodError
        If a mask has no map.
    """
    ids = list(masks)
    require_ids(maps, ids)
    levels = np.asarray(thresholds, np.float32)
    sure, right = (np.zeros((len(ids), len(levels)), np.int64) for _ in range(2))
    pixels = 0
    for row, key in enumerate(progress(ids) if progress else ids):
        mask = masks[key]
        saliency = resize_map(maps[key], mask.shape)
        pixels += mask.size
        for column, level in enumerate(levels):
            chosen = saliency >= level
            sure[row, column], right[row, column] = chosen.sum(), (chosen & mask).sum()
    with np.errstate(invalid="ignore"):
        share = pd.DataFrame(right / sure)
        ratio = right.sum(0) / sure.sum(0)
    return pd.DataFrame(
        {
            "theta": list(thresholds),
            "ratio": ratio,
            "image_mean": share.mean().to_numpy(),
            "images": (sure > 0).sum(0),
            "area": sure.sum(0) / pixels,
        }
    )
