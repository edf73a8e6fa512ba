import numpy as np
import pytest
from skimage.segmentation import watershed as skimage_watershed

from usod.regions.watershed import watershed


@pytest.mark.parametrize("shape", [(40, 50), (1, 30), (30, 1)])
def test_basins_are_those_of_skimage(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(2).permutation(shape[0] * shape[1]).reshape(shape) / 7.0
    np.testing.assert_array_equal(watershed(values), skimage_watershed(values) - 1)


def test_plateaus_are_split_as_by_skimage() -> None:
    # Two floods rise to a plateau from its ends, and meet in the middle.
    values = np.full((5, 12), 5.0)
    values[2, 1], values[2, 10] = 0.0, 1.0
    labels = watershed(values)
    np.testing.assert_array_equal(labels, skimage_watershed(values) - 1)
    assert labels[2].tolist() == [0] * 6 + [1] * 6


def test_a_plateau_beside_something_lower_is_no_minimum() -> None:
    np.testing.assert_array_equal(watershed(np.array([[2.0, 2, 1, 3, 0, 0]])), [[0, 0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(watershed(np.zeros((3, 4))), np.zeros((3, 4)))


def test_of_equal_minima_the_first_takes_the_pixel_between() -> None:
    np.testing.assert_array_equal(watershed(np.array([[0.0, 3, 0]])), [[0, 0, 1]])
    np.testing.assert_array_equal(watershed(np.array([[0.0], [3], [0]]))[:, 0], [0, 0, 1])
