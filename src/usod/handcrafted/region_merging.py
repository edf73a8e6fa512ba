"""Merging of small regions into their neighbours, as hierarchical segmentation needs it (Yan et al., CVPR 2013, 3.1).

The scale of a region is the side of the largest axis-aligned square that fits into it. So a thin, winding or ragged
region has a small scale even if it has many pixels, and a compact one of few pixels a larger scale.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from usod.regions.labels import region_sums


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
    labels = np.ascontiguousarray(labels, dtype=np.int32)
    return _region_scale(labels, int(labels.max()) + 1)


def merge_small_regions(
    labels: NDArray[np.integer], colours: NDArray[np.floating], scale_thresholds: Sequence[int]
) -> list[NDArray[np.int32]]:
    """Merge small regions, each into its neighbour of the nearest mean colour, at one scale after the other.

    The region of the smallest scale goes first (of equals, that of the lowest label). A merged region has the mean
    colour of its pixels and the scale of its union, and takes another turn while that is below the threshold.

    Parameters
    ----------
    labels : (H, W) region labels 0..n-1; regions are neighbours where pixels touch by an edge
    colours : (H, W, C) colour of each pixel
    scale_thresholds : regions of a smaller scale are merged, in pixels; ascending

    Returns
    -------
    For each threshold, (H, W) int32 labels 0..m-1, m <= n: every region has reached it, unless it is the only one. Each
    region lies in one region of the next layer.
    """
    own = np.ascontiguousarray(labels, dtype=np.int32)
    regions = _measure(own, colours)
    initial = np.arange(len(regions.owner))
    layers = []
    for threshold in scale_thresholds:
        _merge(own, regions, _region_scale(own, initial.size), threshold)
        own = regions.owner[own]
        number = np.cumsum(regions.owner == initial, dtype=np.int32) - 1
        layers.append(number[own])
    return layers


class _Regions(NamedTuple):
    """What merging knows of n initial regions. A merged one has the lowest label of those in it.

    The neighbours of region r are a list of links, first[r] -> following[...] -> last[r], -1 ends it: so two lists are
    joined in constant time. Links name initial labels; several may name the same region.

    Attributes
    ----------
    owner : (n,) the label that each was merged into, which may have been merged in turn
    pixel_counts, colour_sums, colours : (n,), (n, C) and (n, C); the last are the means
    boxes : (n, 4) first row, first column, last row, last column
    neighbour, following : of each link, the label that it names, and the next link
    first, last : (n,) links
    """

    owner: NDArray[np.int32]
    pixel_counts: NDArray[np.float64]
    colour_sums: NDArray[np.float64]
    colours: NDArray[np.float64]
    boxes: NDArray[np.int64]
    neighbour: NDArray[np.int32]
    following: NDArray[np.int32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]


def _measure(labels: NDArray[np.int32], colours: NDArray[np.floating]) -> _Regions:
    sums = region_sums(labels, colours)
    pixel_counts, colour_sums = sums[:, 0].copy(), sums[:, 1:].copy()
    means = colour_sums / np.maximum(pixel_counts, 1.0)[:, None]
    n = len(sums)
    owner = np.arange(n, dtype=np.int32)
    return _Regions(owner, pixel_counts, colour_sums, means, _bounding_boxes(labels, n), *_links(labels, n))


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
def _set_empty(box):
    """Make it a box that holds nothing, and is not in the way of `_extend`."""
    box[0] = box[1] = np.iinfo(np.int64).max
    box[2] = box[3] = -1


@njit(cache=True)
def _bounding_boxes(labels, n):
    """(n, 4) first row, first column, last row, last column of each label."""
    height, width = labels.shape
    boxes = np.empty((n, 4), np.int64)
    for label in range(n):
        _set_empty(boxes[label])
    for y in range(height):
        for x in range(width):
            box = boxes[labels[y, x]]
            box[0] = min(box[0], y)
            box[1] = min(box[1], x)
            box[2] = max(box[2], y)
            box[3] = max(box[3], x)
    return boxes


@njit(cache=True)
def _links(labels, n):
    """The lists of neighbours in `_Regions`."""
    height, width = labels.shape
    neighbour = np.empty(4 * labels.size, np.int32)
    following = np.empty(4 * labels.size, np.int32)
    first = np.full(n, -1, np.int32)
    last = np.full(n, -1, np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            for down in range(2):
                if y + down == height or x + 1 - down == width:
                    continue
                a, b = labels[y, x], labels[y + down, x + 1 - down]
                if a == b or (first[a] >= 0 and neighbour[first[a]] == b):
                    continue
                for _ in range(2):
                    neighbour[count], following[count] = b, first[a]
                    if first[a] < 0:
                        last[a] = count
                    first[a] = count
                    count += 1
                    a, b = b, a
    return neighbour, following, first, last


@njit(cache=True)
def _nearest_neighbour(regions, region, seen, turn):
    """The adjacent region of the nearest mean colour, of equals the lowest label; -1 without neighbours.

    Links to the region itself, and to what an earlier link names, are taken out. `seen` holds the last turn of each
    region as a neighbour.
    """
    nearest, smallest = -1, np.inf
    before, link = -1, regions.first[region]
    while link >= 0:
        other, onward = _find(regions.owner, regions.neighbour[link]), regions.following[link]
        if other == region or seen[other] == turn:
            if before < 0:
                regions.first[region] = onward
            else:
                regions.following[before] = onward
            if onward < 0:
                regions.last[region] = before
        else:
            seen[other], before = turn, link
            distance = 0.0
            for c in range(regions.colours.shape[1]):
                distance += (regions.colours[region, c] - regions.colours[other, c]) ** 2
            if distance < smallest or (distance == smallest and other < nearest):
                nearest, smallest = other, distance
        link = onward
    return nearest


@njit(cache=True)
def _join(regions, kept, gone):
    regions.owner[gone] = kept
    regions.pixel_counts[kept] += regions.pixel_counts[gone]
    for c in range(regions.colours.shape[1]):
        regions.colour_sums[kept, c] += regions.colour_sums[gone, c]
        regions.colours[kept, c] = regions.colour_sums[kept, c] / regions.pixel_counts[kept]
    _extend(regions.boxes[kept], regions.boxes[gone])
    regions.following[regions.last[kept]] = regions.first[gone]
    regions.last[kept] = regions.last[gone]


@njit(cache=True)
def _extend(box, other):
    """Make a box, in place, hold another one."""
    box[0], box[1] = min(box[0], other[0]), min(box[1], other[1])
    box[2], box[3] = max(box[2], other[2]), max(box[3], other[3])


@njit(cache=True)
def _scale_near(labels, regions, region, joined, enough):
    """Scale of a merged region, of squares less than `enough` from what has joined it; no more than `enough` count."""
    box = regions.boxes[region]
    top, left = max(box[0], joined[0] - enough + 1), max(box[1], joined[1] - enough + 1)
    bottom, right = min(box[2], joined[2] + enough - 1), min(box[3], joined[3] + enough - 1)
    above = np.zeros(right - left + 2, np.int64)  # column 0 is the outside
    scale = 0
    for y in range(top, bottom + 1):
        above_left = 0
        for i in range(1, above.size):
            side = 0
            if _find(regions.owner, labels[y, left + i - 1]) == region:
                side = 1 + min(above[i], above[i - 1], above_left)
            above_left = above[i]
            above[i] = side
            scale = max(scale, side)
        if scale >= enough:
            break
    return scale


@njit(cache=True)
def _take_turn(labels, regions, scale, joined, seen, turn, small, threshold):
    """Merge a region into its nearest neighbour, unless it has grown meanwhile; the label to look at next."""
    side = scale[small]
    if joined[small, 2] >= 0:
        scale[small] = max(side, _scale_near(labels, regions, small, joined[small], threshold))
        _set_empty(joined[small])
    other = _nearest_neighbour(regions, small, seen, turn) if scale[small] == side else -1
    if other < 0:
        return small + 1
    kept, gone = min(small, other), max(small, other)
    _extend(joined[other], regions.boxes[small])
    _extend(joined[kept], joined[other])
    _join(regions, kept, gone)
    scale[kept] = max(scale[kept], scale[gone])
    return kept if scale[kept] == side else small + 1


@njit(cache=True)
def _merge(labels, regions, scale, threshold):
    """Merge what is smaller than `threshold`. `labels` are as the regions are, in `owner` stands what becomes of them.

    The scale of a union is found when its turn comes, as it may have grown on: until then `scale` is that of its
    largest part, and `joined` a box around all other parts. A larger square than those of the parts touches it.
    """
    n = len(scale)
    seen = np.full(n, -1, np.int64)
    joined = np.empty((n, 4), np.int64)
    for r in range(n):
        _set_empty(joined[r])
    turn = 0
    for side in range(1, threshold):
        small = 0
        while small < n:
            if scale[small] == side and regions.owner[small] == small:
                turn += 1
                # Not the literal 0, for whose type numba would compile everything once more.
                small = _take_turn(labels, regions, scale, joined, seen, turn, np.int64(small), threshold)
            else:
                small += 1
    for r in range(n):
        regions.owner[r] = _find(regions.owner, r)
