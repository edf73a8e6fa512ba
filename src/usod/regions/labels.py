"""Measurements of label maps: an (H, W) array that says to which of n regions each pixel belongs."""

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray


def region_size(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Pixels in each region: (H, W) labels 0..n-1 -> (n,) int64."""
    return np.bincount(labels.ravel())


def region_mean(labels: NDArray[np.integer], values: NDArray) -> NDArray[np.float64]:
    """Mean of `values` over each region: (H, W) labels 0..n-1 and (H, W, C) or (H, W) values -> (n, C) float64."""
    sums = region_sums(labels, values)
    return sums[:, 1:] / sums[:, :1]


def region_sums(labels: NDArray[np.integer], values: NDArray) -> NDArray[np.float64]:
    """Pixels of each region, and the sums of `values` over them: (n, 1 + C) float64; see `region_mean`."""
    if values.shape[:2] != labels.shape:
        raise ValueError(f"values of shape {values.shape} do not fit labels of shape {labels.shape}")
    flat = np.ascontiguousarray(labels).ravel()
    return _region_sums(flat, np.ascontiguousarray(values).reshape(flat.size, -1), int(flat.max()) + 1)


@njit(cache=True)
def _region_sums(labels, values, n):  # type: ignore[no-untyped-def]
    """(n, 1 + C) float64: pixels of each region, and the sums of (N, C) values over them."""
    sums = np.zeros((n, 1 + values.shape[1]))
    for i in range(labels.size):
        row = sums[labels[i]]
        row[0] += 1.0
        for c in range(values.shape[1]):
            row[1 + c] += values[i, c]
    return sums


def region_centre(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean (row / H, column / W) of each region, (n, 2) float64: each axis is measured in its own image side."""
    height, width = labels.shape
    sums = _place_sums(np.ascontiguousarray(labels), int(labels.max()) + 1)
    return sums[:, 1:] / (height, width) / sums[:, :1]


@njit(cache=True)
def _place_sums(labels, n):  # type: ignore[no-untyped-def]
    """(n, 3) float64: pixels of each region, the sum of their rows, and that of their columns."""
    sums = np.zeros((n, 3))
    for row in range(labels.shape[0]):
        for column in range(labels.shape[1]):
            of = sums[labels[row, column]]
            of[0] += 1.0
            of[1] += row
            of[2] += column
    return sums


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
    return _pairs(np.ascontiguousarray(labels), int(labels.max()) + 1, connectivity == 8)


@njit(cache=True)
def _pairs(labels, n, diagonally):  # type: ignore[no-untyped-def]
    """`neighbour_pairs`: the larger labels of the pairs, gathered by the smaller one, each set without repeats."""
    height, width = labels.shape
    steps = np.array([(0, 1), (1, 0), (1, 1), (1, -1)])[: 4 if diagonally else 2]
    ends = np.zeros(n + 1, np.int64)
    for down, right in steps:
        for r in range(height - down):
            for c in range(max(0, -right), width - max(0, right)):
                a, b = labels[r, c], labels[r + down, c + right]
                if a != b:
                    ends[min(a, b) + 1] += 1
    ends = np.cumsum(ends)
    larger, filled = np.empty(ends[n], np.int64), ends[:-1].copy()
    for down, right in steps:
        for r in range(height - down):
            for c in range(max(0, -right), width - max(0, right)):
                a, b = labels[r, c], labels[r + down, c + right]
                if a != b:
                    larger[filled[min(a, b)]] = max(a, b)
                    filled[min(a, b)] += 1
    pairs, count = np.empty((ends[n], 2), np.int64), 0
    latest = np.full(n, -1, np.int64)  # the smaller label with which a larger one was last seen
    for a in range(n):
        first = count
        for b in larger[ends[a] : ends[a + 1]]:
            if latest[b] != a:
                latest[b] = a
                pairs[count] = a, b
                count += 1
        pairs[first:count, 1] = np.sort(pairs[first:count, 1])
    return pairs[:count].copy()


def adjacency(labels: NDArray[np.integer], connectivity: Literal[4, 8] = 4) -> NDArray[np.bool_]:
    """1-ring adjacency of regions: symmetric (n, n) bool with False on the diagonal; see `neighbour_pairs`."""
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity}")
    one_way = ahead(labels, connectivity)
    return one_way | one_way.T


def ahead(labels: NDArray[np.integer], connectivity: Literal[4, 8] = 4) -> NDArray[np.bool_]:
    """Which region (row) is somewhere above or to the left of which other one that it touches; (n, n) bool."""
    return _ahead(np.ascontiguousarray(labels), int(labels.max()) + 1, connectivity == 8)


@njit(cache=True)
def _ahead(labels, n, diagonally):  # type: ignore[no-untyped-def]
    """(n, n) bool: whether a pixel of the one has one of the other to its right, below it, or below it to a side."""
    height, width = labels.shape
    touching = np.zeros((n, n), np.bool_)
    for row in range(height):
        for column in range(width):
            label = labels[row, column]
            if column + 1 < width:
                touching[label, labels[row, column + 1]] = True
            if row + 1 < height:
                touching[label, labels[row + 1, column]] = True
                if diagonally and column + 1 < width:
                    touching[label, labels[row + 1, column + 1]] = True
                if diagonally and column > 0:
                    touching[label, labels[row + 1, column - 1]] = True
    for label in range(n):
        touching[label, label] = False
    return touching


def border_regions(labels: NDArray[np.integer], margin: int = 1) -> NDArray[np.int64]:
    """Sorted ids of the regions with a pixel less than `margin` pixels from the image border (1: on the border)."""
    strips = (labels[:margin], labels[-margin:], labels[:, :margin], labels[:, -margin:])
    return np.unique(np.concatenate([strip.ravel() for strip in strips])).astype(np.int64)
