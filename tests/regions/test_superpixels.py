import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2lab, rgb2luv  # type: ignore[attr-defined]

from usod.regions.lab import FINE_FROM_LINEAR, lab_planes, luv_planes, rgb_to_lab
from usod.regions.labels import adjacency, border_regions, neighbour_pairs, region_centre, region_mean, region_size
from usod.regions.superpixels import slic

LABELS = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 3]], dtype=np.int32)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_lab_agrees_with_skimage() -> None:
    image = noise(40, 50)
    planes = lab_planes(image)
    np.testing.assert_allclose(np.moveaxis(planes, 0, -1), rgb2lab(image), atol=0.03)
    np.testing.assert_allclose(np.moveaxis(planes, 0, -1), rgb_to_lab(image / 255.0), atol=1e-9)


def test_planes_are_those_of_skimage_to_the_last_digits() -> None:
    image = noise(40, 50)
    image[:3] = np.array([0, 3, 255], np.uint8)[:, None, None]  # black, on the line near it, white
    for planes, expected in (
        (lab_planes(image, matrix=FINE_FROM_LINEAR), rgb2lab(image)),
        (luv_planes(image), rgb2luv(image)),
    ):
        np.testing.assert_allclose(np.moveaxis(planes, 0, -1), expected, atol=1e-9)


def test_rec709_mid_grey_by_hand() -> None:
    light = ((0.5 + 0.099) / 1.099) ** (1 / 0.45)
    np.testing.assert_allclose(rgb_to_lab(np.full(3, 0.5), "rec709"), [116 * light ** (1 / 3) - 16, 0, 0], atol=1e-6)


@pytest.mark.parametrize("variant", ["rbd", "epfl"])
def test_slic_of_equal_colours_is_a_grid_by_hand(variant: str) -> None:
    # Step 10 puts the seeds of 30 pixels at 5.5, 15.5, 25.5 (rbd) or 5, 15, 25 (epfl). Either way the first region
    # reaches 11 pixels (epfl: by the tie at 10), and means 5, 15.5, 25 change no pixel any more.
    labels = slic(np.full((30, 30, 3), 77, np.uint8), 9, variant=variant)
    part = np.repeat([0, 1, 2], [11, 10, 9])
    np.testing.assert_array_equal(labels, part[:, None] * 3 + part)


@pytest.mark.parametrize("variant", ["rbd", "epfl"])
def test_slic_regions_are_consecutive_connected_and_not_tiny(variant: str) -> None:
    image = ndimage.gaussian_filter(noise(60, 90).astype(float), (2, 2, 0))
    labels = slic(((image - image.min()) / np.ptp(image) * 255).astype(np.uint8), 54, variant=variant)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert region_size(labels).min() > 25
    assert all(ndimage.label(labels == k)[1] == 1 for k in range(labels.max() + 1))


def test_slic_follows_a_colour_edge() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    image[:, 23:] = (200, 30, 30)
    labels = slic(image, 36)
    assert not set(labels[:, :23].ravel()) & set(labels[:, 23:].ravel())


@pytest.mark.parametrize("variant", ["rbd", "epfl"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (8, 8), (200, 3)])
def test_slic_of_tiny_images(shape: tuple[int, int], variant: str) -> None:
    for n in (1, 4, 250):
        labels = slic(noise(*shape), n, variant=variant)
        assert labels.shape == shape
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_slic_refuses_what_is_no_rgb_image(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image must be"):
        slic(image, 4)


def test_slic_refuses_bad_settings() -> None:
    for settings in ({"n_segments": 0}, {"n_segments": 4, "compactness": 0}, {"n_segments": 4, "variant": "quick"}):
        with pytest.raises(ValueError, match="must be"):
            slic(noise(8, 8), **settings)


def test_region_measurements_by_hand() -> None:
    values = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(region_size(LABELS), [4, 2, 2, 1])
    np.testing.assert_allclose(region_mean(LABELS, values)[:, 0], [2.0, 3.5, 6.5, 8.0])
    np.testing.assert_allclose(region_mean(LABELS, np.dstack([values, -values]))[:, 1], [-2.0, -3.5, -6.5, -8.0])
    np.testing.assert_allclose(region_centre(LABELS)[2], [2 / 3, 0.5 / 3])
    with pytest.raises(ValueError, match="do not fit"):
        region_mean(LABELS, values[:2])


def test_neighbours_by_hand() -> None:
    np.testing.assert_array_equal(neighbour_pairs(LABELS, 4), [[0, 1], [0, 2], [1, 3], [2, 3]])
    np.testing.assert_array_equal(neighbour_pairs(LABELS, 8), [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    touching = adjacency(LABELS)
    assert touching.sum() == 8
    assert not touching.diagonal().any()
    np.testing.assert_array_equal(touching, touching.T)
    assert len(neighbour_pairs(np.zeros((2, 2), np.int32))) == 0
    with pytest.raises(ValueError, match="connectivity"):
        neighbour_pairs(LABELS, 6)  # type: ignore[arg-type]


def test_border_regions_by_margin() -> None:
    labels = np.zeros((7, 7), np.int32)
    labels[1:-1, 1:-1] = 1
    labels[3, 3] = 2
    assert [border_regions(labels, margin).tolist() for margin in (1, 2, 4)] == [[0], [0, 1], [0, 1, 2]]
