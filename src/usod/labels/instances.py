"""The objects of a mask: one, or its connected components."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from usod.inference.render import clean
from usod.labels.photos import Photo


@dataclass(frozen=True)
class Instance:
    """One object.

    Attributes
    ----------
    crop : (h, w) bool, its pixels within its bounding box
    top, left : the box's first row and column
    score : mean of the map over its pixels, in [0, 1]
    """

    crop: NDArray[np.bool_]
    top: int
    left: int
    score: float

    @property
    def corner(self) -> NDArray[np.int64]:
        """x and y of the crop's first pixel."""
        return np.array([self.left, self.top])

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels."""
        return (self.left, self.top, self.crop.shape[1], self.crop.shape[0])

    def whole(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) bool, in an image of this size."""
        mask = np.zeros(size, bool)
        height, width = self.crop.shape
        mask[self.top : self.top + height, self.left : self.left + width] = self.crop
        return mask


@dataclass(frozen=True)
class Labelled:
    """One image with its objects; no objects: an empty mask."""

    photo: Photo
    size: tuple[int, int]
    instances: list[Instance]

    @property
    def score(self) -> float:
        """Of the whole image: the mean of its objects' scores; 0 without any."""
        return float(np.mean([instance.score for instance in self.instances])) if self.instances else 0.0


def instances_of(
    mask: NDArray[np.bool_], saliency: NDArray, split: bool = False, smallest: float = 0.0
) -> list[Instance]:
    """The objects of a mask.

    Parameters
    ----------
    mask : (H, W) bool
    saliency : (H, W) in [0, 1], for the scores
    split : one object per connected component (8 neighbours), in order of their first pixels, else one of all pixels
    smallest : components below this share of the image are dropped
    """
    mask = clean(mask, smallest)
    numbers, _ = ndimage.label(mask, np.ones((3, 3))) if split else (mask.astype(np.int32), 1)
    return [_instance(numbers[box] == number, saliency[box], box) for number, box in _boxes(numbers)]


def _boxes(numbers: NDArray) -> Iterable[tuple[int, tuple[slice, slice]]]:
    return ((number, box) for number, box in enumerate(ndimage.find_objects(numbers), 1) if box is not None)


def _instance(crop: NDArray[np.bool_], saliency: NDArray, box: tuple[slice, slice]) -> Instance:
    return Instance(crop, box[0].start, box[1].start, float(saliency[crop].mean()))
