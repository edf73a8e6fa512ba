"""Masks as polygons that give the same pixels back, and polygons as masks.

Two rules are in use, and a polygon of one is wrong by half a pixel or more under the other:

- along the *edges* of the pixels, where a pixel belongs to a polygon that holds its centre: pycocotools, and with it
  COCO, CVAT, Datumaro, FiftyOne and Label Studio's converters;
- through the *centres* of the outermost pixels, where a pixel that the line touches belongs to it: OpenCV's fillPoly,
  by which Ultralytics draws YOLO's labels.

No format here has polygons with holes. A hole is joined to what is around it by a cut of no width, there and back: the
same pixels under either rule, as readers count crossings. OpenCV draws the cut itself, so it runs inside the mask.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

Ring = NDArray[np.float64]
"""(n, 2) x and y in pixels, the first point not repeated."""
Along = Literal["edges", "centres"]


def polygons(mask: NDArray[np.bool_], along: Along = "edges", simplify: float = 0.0) -> list[Ring]:
    """One closed line around each connected component (8 neighbours), its holes joined to it.

    Parameters
    ----------
    mask : (H, W) bool
    along : "edges": coordinates count from the image's corner, the first pixel goes from 0 to 1. "centres":
        coordinates are the pixels' numbers, the first is 0
    simplify : tolerance in pixels (Douglas and Peucker); 0: exact

    Returns
    -------
    rings of at least three points; points of "edges" and "centres" are whole numbers
    """
    drawn = mask.astype(np.uint8)
    if along == "edges":
        # OpenCV's contours go through pixels. Where each is four, the inner corner of one of these lies at the edge.
        drawn = drawn.repeat(2, 0).repeat(2, 1)
    contours, tree = cv2.findContours(drawn, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [_ring(contour[:, 0], mask, along, simplify) for contour in contours]
    holes: dict[int, list[Ring]] = {number: [] for number in range(len(rings)) if tree[0][number][3] < 0}
    for number, ring in enumerate(rings):
        if number not in holes:  # it has a parent, the outer line around it
            holes[int(tree[0][number][3])].append(ring)
    return [_three_points(_joined(rings[number], inner)) for number, inner in holes.items()]


def _ring(points: NDArray, mask: NDArray[np.bool_], along: Along, simplify: float) -> Ring:
    points = (points + 1) // 2 if along == "edges" else _around_corners(points, mask)
    moves = (points != np.roll(points, 1, 0)).any(1)
    points = points[moves] if moves.any() else points[:1]  # of a single pixel
    came, goes = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    bends = (came != goes).any(1)
    points = points[bends] if bends.any() else points
    if simplify:
        points = cv2.approxPolyDP(points.astype(np.int32)[:, None], simplify, closed=True)[:, 0]
    return points.astype(np.float64)


def _around_corners(points: NDArray, mask: NDArray[np.bool_]) -> NDArray:
    """A line from pixel to pixel, its slanted steps led over a third pixel of the mask where there is one.

    Ultralytics puts points between those of a polygon, and rounds them down: on a slanted step one can fall beside the
    two pixels, on a straight one never.
    """
    following = np.roll(points, -1, 0)
    corners = np.stack([following[:, 0], points[:, 1]], 1)
    others = np.stack([points[:, 0], following[:, 1]], 1)
    use_other = ~mask[corners[:, 1], corners[:, 0]]
    corners[use_other] = others[use_other]
    inside = mask[corners[:, 1], corners[:, 0]]
    corners[~inside] = points[~inside]
    return np.stack([points, corners], 1).reshape(-1, 2)


def _three_points(ring: Ring) -> Ring:
    return ring if len(ring) >= 3 else ring[[*range(len(ring)), *[-1] * (3 - len(ring))]]


def _joined(ring: Ring, holes: list[Ring]) -> Ring:
    """A line with its holes, the highest first: straight up from a hole's top is nothing but mask before that line."""
    for hole in sorted(holes, key=lambda points: points[:, 1].min()):
        start = int(hole[:, 1].argmin())
        after, meeting = _above(ring, hole[start])
        around = np.roll(hole, -start, 0)
        ring = np.concatenate([ring[: after + 1], [meeting], around, around[:1], [meeting], ring[after + 1 :]])
    return ring[(ring != np.roll(ring, 1, 0)).any(1)] if holes else ring


def _above(ring: Ring, point: NDArray) -> tuple[int, NDArray]:
    """Where a line straight up from `point` meets the ring first: the number of the point before it, and the place."""
    x, y = point
    following = np.roll(ring, -1, 0)
    low, high = np.minimum(ring, following), np.maximum(ring, following)
    step = following[:, 0] - ring[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        slanted = ring[:, 1] + (x - ring[:, 0]) / step * (following[:, 1] - ring[:, 1])
    upright = np.where(y >= high[:, 1], high[:, 1], np.where(y >= low[:, 1], y, np.inf))
    at = np.where(step == 0, upright, slanted)
    at = np.where((low[:, 0] <= x) & (x <= high[:, 0]) & (at <= y), at, -np.inf)
    if np.isneginf(at).all():  # a simplified line may pass below the hole
        nearest = int(((ring - point) ** 2).sum(1).argmin())
        return nearest, ring[nearest]
    return int(at.argmax()), np.array([x, at.max()])


def rasterise(rings: list[Ring], size: tuple[int, int], along: Along = "edges") -> NDArray[np.bool_]:
    """The pixels inside any of the rings: (H, W) bool. `along` as for `polygons`."""
    height, width = size
    rings = [ring for ring in rings if len(ring)]
    if along == "centres":
        canvas = np.zeros(size, np.uint8)
        for ring in rings:
            cv2.fillPoly(canvas, [np.floor(ring).astype(np.int32)], 1)  # each alone: overlaps do not cancel
        return canvas.astype(bool)
    lists = [ring.ravel().tolist() for ring in map(_three_points, rings)]
    if not lists:
        return np.zeros(size, bool)
    return coco.decode(coco.merge(coco.frPyObjects(lists, height, width))).astype(bool)
