"""Merging of small regions into their neighbours, as hierarchical segmentation needs it (Yan et al., CVPR 2013, 3.1).

The scale of a region is the side of the largest axis-aligned square that fits into it. So a thin, winding or ragged
region has a small scale even if it has many pixels, and a compact one of few pixels a larger scale.
"""

import heapq

import numpy as np
from numba import njit
from numpy.typing import NDArray

from usod.regions.labels import neighbour_pairs, region_size


def region_scale(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Side in pixels of the largest square that fits into each region.

    The paper tests one side t at a time, with a t x t box filter of the label map. Here one pass finds all: the largest
    square of one label that ends at a pixel is one larger than the smallest of those ending above it, left of it and
    diagonally above-left of it.

    Parameters
    ----------
    labels : (H, W) region labels 0..n-1. A region may consist of several parts.

    Returns
    -------
    (n,) int64; 0 for a label that does not occur
    """
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    return _region_scale(labels, int(labels.max()) + 1)


def merge_small_regions(
    labels: NDArray[np.integer], colours: NDArray[np.floating], scale_threshold: int
) -> NDArray[np.int32]:
    """Merge small regions, each into its neighbour of the nearest mean colour.

    The region of the smallest scale goes first (of equals, that of the lowest label). A merged region has the mean
    colour of its pixels and the scale of its union, and takes another turn while that is below the threshold.

    Parameters
    ----------
    labels : (H, W) region labels 0..n-1; regions are neighbours where pixels touch by an edge
    colours : (H, W, C) colour of each pixel
    scale_threshold : regions of a smaller scale are merged, in pixels

    Returns
    -------
    (H, W) int32 labels 0..m-1, m <= n. Every region has reached the threshold, unless it is the only one.
    """
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    sizes = region_size(labels)
    colour_sums = [np.bincount(labels.ravel(), channel.ravel()) for channel in np.moveaxis(colours, -1, 0)]
    owner = _merge(
        labels, neighbour_pairs(labels), np.stack(colour_sums, axis=1), sizes, region_scale(labels), scale_threshold
    )
    _, owner = np.unique(owner, return_inverse=True)
    return owner.astype(np.int32)[labels]


@njit(cache=True)
def _region_scale(labels, n):
    height, width = labels.shape
    scale = np.zeros(n, np.int64)
    above = np.zeros(width, np.int64)
    for y in range(height):
        left = 0
        above_left = 0
        for x in range(width):
            label = labels[y, x]
            side = 1
            if (
                y > 0
                and x > 0
                and label == labels[y - 1, x]
                and label == labels[y, x - 1]
                and label == labels[y - 1, x - 1]
            ):
                side = 1 + min(above[x], left, above_left)
            above_left = above[x]
            above[x] = side
            left = side
            scale[label] = max(scale[label], side)
    return scale


@njit(cache=True)
def _find(owner, label):
    """Label of the region that now holds an initial region (union-find with path halving)."""
    while owner[label] != label:
        owner[label] = owner[owner[label]]
        label = owner[label]
    return label


@njit(cache=True)
def _bounding_boxes(labels, n):
    """(n, 4) first row, first column, last row, last column of each label."""
    height, width = labels.shape
    boxes = np.empty((n, 4), np.int64)
    boxes[:, :2] = max(height, width)
    boxes[:, 2:] = -1
    for y in range(height):
        for x in range(width):
            box = boxes[labels[y, x]]
            box[0] = min(box[0], y)
            box[1] = min(box[1], x)
            box[2] = max(box[2], y)
            box[3] = max(box[3], x)
    return boxes


@njit(cache=True)
def _scale_of_union(labels, owner, region, box, enough):
    """Scale of one merged region, found inside its bounding box; stops at `enough`, which is all the caller asks."""
    width = box[3] - box[1] + 1
    above = np.zeros(width + 1, np.int64)  # column 0 is the outside
    scale = 0
    for y in range(box[0], box[2] + 1):
        above_left = 0
        for i in range(1, width + 1):
            side = 0
            if _find(owner, labels[y, box[1] + i - 1]) == region:
                side = 1 + min(above[i], above[i - 1], above_left)
            above_left = above[i]
            above[i] = side
            scale = max(scale, side)
        if scale >= enough:
            return scale
    return scale


@njit(cache=True)
def _neighbour_lists(pairs, n):
    """Linked lists of the neighbours of each label: list r runs first[r] -> following[...] -> last[r], -1 ends it.

    Two lists are joined in constant time, which is what merging needs; the entries name initial labels.
    """
    neighbour = np.empty(2 * len(pairs), np.int64)
    following = np.full(2 * len(pairs), -1, np.int64)
    first = np.full(n, -1, np.int64)
    last = np.full(n, -1, np.int64)
    for e in range(2 * len(pairs)):
        region = pairs[e // 2, e % 2]
        neighbour[e] = pairs[e // 2, 1 - e % 2]
        if first[region] < 0:
            first[region] = e
        else:
            following[last[region]] = e
        last[region] = e
    return neighbour, following, first, last


@njit(cache=True)
def _nearest_neighbour(region, owner, neighbour, following, first, colour_sums, counts):
    """The adjacent region of the nearest mean colour, of equals the lowest label; -1 without neighbours."""
    nearest = -1
    smallest = np.inf
    entry = first[region]
    while entry >= 0:
        other = _find(owner, neighbour[entry])
        entry = following[entry]
        if other == region:
            continue
        distance = 0.0
        for c in range(colour_sums.shape[1]):
            distance += (colour_sums[region, c] / counts[region] - colour_sums[other, c] / counts[other]) ** 2
        if distance < smallest or (distance == smallest and other < nearest):
            smallest = distance
            nearest = other
    return nearest


@njit(cache=True)
def _merge(labels, pairs, colour_sums, counts, scale, threshold):
    """Label that each initial label ends up in, (n,) int64."""
    n = len(scale)
    owner = np.arange(n)
    boxes = _bounding_boxes(labels, n)
    neighbour, following, first, last = _neighbour_lists(pairs, n)
    waiting = [(scale[r], r) for r in range(n) if counts[r] > 0 and scale[r] < threshold]
    heapq.heapify(waiting)
    while len(waiting) > 0:
        side, small = heapq.heappop(waiting)
        if owner[small] != small or side != scale[small]:
            continue  # merged, or grown, since this entry was made
        other = _nearest_neighbour(small, owner, neighbour, following, first, colour_sums, counts)
        if other < 0:
            continue
        kept, gone = min(small, other), max(small, other)
        owner[gone] = kept
        colour_sums[kept] += colour_sums[gone]
        counts[kept] += counts[gone]
        boxes[kept, :2] = np.minimum(boxes[kept, :2], boxes[gone, :2])
        boxes[kept, 2:] = np.maximum(boxes[kept, 2:], boxes[gone, 2:])
        following[last[kept]] = first[gone]
        last[kept] = last[gone]
        scale[kept] = max(scale[kept], scale[gone])
        if scale[kept] < threshold:
            scale[kept] = _scale_of_union(labels, owner, kept, boxes[kept], threshold)
        if scale[kept] < threshold:
            heapq.heappush(waiting, (scale[kept], kept))
    for r in range(n):
        owner[r] = _find(owner, r)
    return owner
