"""The loops over pixels of the measures, compiled: what NumPy would need several passes and whole arrays for."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

REACH = 3
"""Taps to either side of the weighted F-measure's Gaussian: mask pixels see errors that far outside the mask."""


@njit(cache=True, nogil=True)
def absolute_error(p, mask):
    """Sum of |p - mask| over a (H, W) float64 map and mask; rows are added as a whole, for rounding's sake."""
    height, width = p.shape
    total = 0.0
    for row in range(height):
        in_row = 0.0
        for column in range(width):
            in_row += abs(p[row, column] - mask[row, column])
        total += in_row
    return total


@njit(cache=True, nogil=True)
def squared_distances(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Squared Euclidean distance of every pixel to the nearest one of a (H, W) mask that is not empty; exact.

    Felzenszwalb and Huttenlocher, Distance transforms of sampled functions, 2012: distances along the columns, then the
    lower envelope of their parabolas along each row.
    """
    height, width = mask.shape
    distance = np.empty((height, width))
    for column in range(width):
        distance[0, column] = 0.0 if mask[0, column] else height + width
    for row in range(1, height):
        for column in range(width):
            distance[row, column] = 0.0 if mask[row, column] else distance[row - 1, column] + 1
    for row in range(height - 2, -1, -1):
        for column in range(width):
            distance[row, column] = min(distance[row, column], distance[row + 1, column] + 1)
    lowest = np.empty(width, np.int64)  # which parabola is lowest, and from where on
    begins = np.empty(width + 1)
    for row in range(height):
        _lower_envelope(distance[row], lowest, begins)
    return distance


@njit(cache=True, nogil=True)
def _lower_envelope(values, lowest, begins):
    """f(x) -> min over i of (x - i)^2 + f(i)^2, in place."""
    width = len(values)
    squares = values * values
    top = 0
    lowest[0], begins[0] = 0, -np.inf
    for x in range(1, width):
        while True:
            i = lowest[top]
            meets = (squares[x] - squares[i] + (x * x - i * i)) / (2 * (x - i))
            if meets > begins[top]:
                break
            top -= 1
        top += 1
        lowest[top], begins[top] = x, meets
    begins[top + 1] = np.inf
    part = 0
    for x in range(width):
        while begins[part + 1] < x:
            part += 1
        i = lowest[part]
        values[x] = (x - i) ** 2 + squares[i]


@njit(cache=True, nogil=True)
def false_alarms(p, squared):
    """Sum over pixels off the mask of p (2 - exp(ln .5 / 5 d)), d the distance to the mask (Margolin et al. 2014)."""
    height, width = p.shape
    total = 0.0
    for row in range(height):
        in_row = 0.0
        for column in range(width):
            if p[row, column] > 0 and squared[row, column] > 0:
                in_row += p[row, column] * (2 - np.exp(np.log(0.5) / 5 * np.sqrt(squared[row, column])))
        total += in_row
    return total


@njit(cache=True, nogil=True)
def spread_errors(error, mask, squared):
    """The errors of mask pixels, continued up to `REACH` pixels beyond the mask by that of the nearest; 0 elsewhere.

    Of several that are as near, the one in the leftmost column counts, there the topmost: as for SciPy's distance
    transform, with which the field's code does this.

    Parameters
    ----------
    error : (H, W) float64
    mask : (H, W) bool
    squared : (H, W) float64, `squared_distances` of the mask
    """
    height, width = mask.shape
    out = np.zeros((height, width))
    farthest = 2 * REACH * REACH
    for row in range(height):
        for column in range(width):
            wanted = squared[row, column]
            if wanted == 0:
                out[row, column] = error[row, column]
            elif wanted <= farthest:
                out[row, column] = _nearest(error, mask, row, column, wanted)
    return out


@njit(cache=True, nogil=True)
def _nearest(error, mask, row, column, wanted):
    height, width = mask.shape
    reach = int(np.sqrt(wanted))
    for x in range(max(column - reach, 0), min(column + reach + 1, width)):
        for y in range(max(row - reach, 0), min(row + reach + 1, height)):
            if mask[y, x] and (y - row) ** 2 + (x - column) ** 2 == wanted:
                return error[y, x]
    return 0.0


@njit(cache=True, nogil=True)
def joint_histogram(levels, mask):
    """(2, 256) int64: how many pixels outside and inside the mask have each of the (H, W) uint8 levels."""
    counts = np.zeros((2, 256), np.int64)
    height, width = mask.shape
    for row in range(height):
        for column in range(width):
            counts[1 if mask[row, column] else 0, levels[row, column]] += 1
    return counts


@njit(cache=True, nogil=True)
def moments(p, mask):
    """Counts, means and sums of squared deviations of p outside and inside the mask: (2,) float64 each.

    Sums are of differences from one of the values, row by row, so that the mean of equal values is that value and
    rounding does not grow with the image.

    Parameters
    ----------
    p : (h, w) float64, may be without pixels
    mask : (h, w) bool
    """
    height, width = p.shape
    counts, means, deviations = np.zeros(2), np.zeros(2), np.zeros(2)
    if p.size == 0:
        return counts, means, deviations
    origin = p[0, 0]
    for y in range(height):
        both, inside, number = 0.0, 0.0, 0
        for x in range(width):
            value = p[y, x] - origin
            both += value
            if mask[y, x]:
                inside += value
                number += 1
        counts[0] += width - number
        counts[1] += number
        means[0] += both - inside
        means[1] += inside
    for group in range(2):
        means[group] = origin + means[group] / max(counts[group], 1.0)
    for y in range(height):
        outside, inside = 0.0, 0.0
        for x in range(width):
            if mask[y, x]:
                inside += (p[y, x] - means[1]) ** 2
            else:
                outside += (p[y, x] - means[0]) ** 2
        deviations[0] += outside
        deviations[1] += inside
    return counts, means, deviations
