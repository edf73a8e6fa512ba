"""The watershed of a map: each pixel goes to the minimum whose flood reaches it first.

The floods rise level by level (Meyer, "Topographic distance and watershed lines", 1994): the lowest pixel beside a
flood goes next, of equal ones that which was reached first. These are scikit-image's basins, but where minima of the
same height compete for a pixel: here the first in raster order has it, there a heap decides.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def watershed(values: NDArray[np.floating]) -> NDArray[np.int32]:
    """Basins of the minima of a map; every pixel belongs to one, there are no lines between them.

    Parameters
    ----------
    values : (H, W), finite. A minimum is a connected (4-neighbour) plateau without a lower neighbour; it may touch the
        border.

    Returns
    -------
    (H, W) int32 labels 0..n-1, numbered in raster order of the minima's first pixels
    """
    height, width = values.shape
    # With a rim around it, a pixel's neighbours lie at fixed distances; -1 is outside.
    levels = np.full((height + 2, width + 2), -1, np.int32)
    _rank(values, np.argsort(values, axis=None), levels[1:-1, 1:-1])
    labels = np.full(levels.shape, -1, np.int32)
    _label_minima(levels.ravel(), width + 2, labels.reshape(-1))
    following = np.full(2 * levels.size, -1, np.int32)
    last = np.arange(levels.size, 2 * levels.size, dtype=np.int32)
    _flood(levels.ravel(), width + 2, labels.reshape(-1), following, last)
    return labels[1:-1, 1:-1].copy()


@njit(cache=True)
def _rank(values, order, levels):  # type: ignore[no-untyped-def]
    """Number the values from low to high, equal ones alike; `order` sorts them."""
    width, level = values.shape[1], -1
    before = -np.inf
    for i in range(order.size):
        row, column = order[i] // width, order[i] % width
        if values[row, column] != before:
            level, before = i, values[row, column]
        levels[row, column] = level


@njit(cache=True)
def _label_minima(levels, across, labels):  # type: ignore[no-untyped-def]
    seen = np.zeros(levels.size, np.bool_)
    plateau = np.empty(levels.size, np.int32)
    label = 0
    for start in range(levels.size):
        if levels[start] < 0 or seen[start]:
            continue
        seen[start], plateau[0] = True, start
        size, done, lowest = 1, 0, True
        while done < size:
            pixel = plateau[done]
            done += 1
            for beside in (pixel - across, pixel - 1, pixel + 1, pixel + across):
                if levels[beside] == levels[start]:
                    if not seen[beside]:
                        seen[beside], plateau[size] = True, beside
                        size += 1
                elif 0 <= levels[beside] < levels[start]:
                    lowest = False
        if lowest:
            for i in range(size):
                labels[plateau[i]] = label
            label += 1


@njit(cache=True)
def _flood(levels, across, labels, following, last):  # type: ignore[no-untyped-def]
    """Extend the labels of the minima, in place, to all pixels.

    Each level has a queue: a list of pixels, `following` each other up to `last`; it begins in the second half of
    `following`. What a flood reaches is never lower than the flood: from any pixel a way leads down to a minimum.
    """
    for pixel in range(levels.size):
        if labels[pixel] >= 0:
            following[last[levels[pixel]]] = pixel
            last[levels[pixel]] = pixel
    for level in range(levels.size):
        pixel = following[levels.size + level]
        while pixel >= 0:
            for beside in (pixel - across, pixel - 1, pixel + 1, pixel + across):
                if labels[beside] < 0 <= levels[beside]:
                    labels[beside] = labels[pixel]
                    following[last[levels[beside]]] = beside
                    last[levels[beside]] = beside
            pixel = following[pixel]
