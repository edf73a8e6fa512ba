import itertools

import numpy as np
import pytest
from scipy.ndimage import label, maximum_filter, minimum_filter
from skimage.morphology import reconstruction

from usod.handcrafted._mbd import barrier_distance, border_contrast, centredness, enhance_contrast, mbd, smooth
from usod.regions.graph import min_max


def exact_distance(channel: np.ndarray) -> np.ndarray:
    """A pixel has a barrier of at most high - low if the pixels within [low, high] join it to the border."""
    distance = np.full(channel.shape, np.inf)
    for low, high in itertools.combinations_with_replacement(np.unique(channel), 2):
        parts, _ = label((channel >= low) & (channel <= high))
        outer = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
        reached = np.isin(parts, outer[outer > 0])
        distance[reached] = np.minimum(distance[reached], high - low)
    return distance


def test_a_row_by_hand() -> None:
    # Only the middle row leads in, from both ends: the first 5 joins 5..9 from the left, the last 8 from the right.
    channel = np.full((3, 7), 99.0)
    channel[1] = [5, 9, 7, 2, 1, 4, 8]
    np.testing.assert_array_equal(barrier_distance(channel)[1], [0, 4, 4, 7, 7, 4, 0])


def test_never_below_the_exact_distance_and_mostly_equal(rng: np.random.Generator) -> None:
    images = [rng.integers(0, 9, (7, 8)).astype(float) for _ in range(50)]
    found = np.stack([barrier_distance(image) for image in images])
    exact = np.stack([exact_distance(image) for image in images])
    assert (found >= exact).all()
    assert (found == exact).mean() > 0.9  # even on noise, the worst case


def test_equals_the_exact_distance_on_plain_shapes() -> None:
    channel = np.zeros((12, 15))
    channel[3:9, 3:12] = 60.0
    channel[5:7, 5:9] = 100.0
    channel[4:8, 10] = 20.0
    np.testing.assert_array_equal(barrier_distance(channel), exact_distance(channel))


def test_a_scan_more_never_raises_the_distance(rng: np.random.Generator) -> None:
    channel = rng.random((40, 50))
    few, more = barrier_distance(channel, 3), barrier_distance(channel, 4)
    assert (more <= few).all() and (more < few).any()


def test_distance_follows_the_image_mirrored_inverted_and_scaled(rng: np.random.Generator) -> None:
    channel = rng.integers(0, 256, (20, 30)).astype(float)
    distance = barrier_distance(channel, 12)
    np.testing.assert_array_equal(barrier_distance(255.0 - channel, 12), distance)
    np.testing.assert_array_equal(barrier_distance(2.0 * channel + 7.0, 12), 2.0 * distance)
    np.testing.assert_array_equal(barrier_distance(channel.T, 12), distance.T)


def test_border_contrast_forgives_the_side_that_the_object_touches() -> None:
    image = np.full((40, 60, 3), (60, 90, 120), np.uint8)
    image[28:, 20:40] = (200, 60, 40)
    contrast = border_contrast(image)
    assert contrast[28:, 20:40].min() == 1.0
    assert contrast[:28].max() == 0.0


def test_border_contrast_by_hand() -> None:
    # Strips one pixel wide; of the values 0, 30, 60 only the variance along each strip and the regularisation count.
    image = np.zeros((3, 3, 3), np.uint8)
    image[1, 1] = (30, 0, 0)
    image[0, 0] = (60, 0, 0)
    contrast = border_contrast(image, regularisation=50.0)
    # Top and left strip: mean 20, so 0 is 20 away, 30 is 10, 60 is 40: stretched 1/3, 0, 1. Bottom, right: 0, 1/2, 1.
    assert contrast[0, 0] == pytest.approx(1.0)
    sums = {"centre": 0 + 0 + 0.5, "plain": 1 / 3 + 0 + 0}  # the largest left out
    expected = (sums["centre"] - sums["plain"]) / (3.0 - sums["plain"])
    assert contrast[1, 1] == pytest.approx(expected)
    assert contrast[2, 2] == pytest.approx(0.0)


def test_centredness() -> None:
    found = centredness((3, 5))
    assert found[1, 2] == 1.0
    np.testing.assert_allclose(found[[0, 0, 2, 2], [0, 4, 0, 4]], 0.0, atol=1e-12)
    assert centredness((1, 1)) == 1.0


def test_smooth_takes_spots_and_keeps_outlines() -> None:
    saliency = np.zeros((60, 60))
    saliency[20:45, 20:45] = 1.0
    clean = saliency.copy()
    saliency[5, 5] = 0.8  # a spot outside, a hole inside
    saliency[30, 30] = 0.1
    np.testing.assert_array_equal(smooth(saliency), clean)


def test_enhance_contrast_by_hand() -> None:
    # Upper half: mean 0.9; lower: mean 0.1; the middle between them is 0.5.
    found = enhance_contrast(np.array([[0.8, 1.0], [0.0, 0.2]]), 10.0)
    np.testing.assert_allclose(found, 1 / (1 + np.exp([[-3.0, -5.0], [5.0, 3.0]])))


@pytest.mark.parametrize("background_cue", [True, False])
def test_finds_a_disc(background_cue: bool, disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, inside = disc
    saliency = mbd(image, background_cue=background_cue)
    assert saliency.dtype == np.float32 and saliency.shape == inside.shape
    assert saliency.min() == 0.0 and saliency.max() == 1.0
    assert saliency[inside].mean() > 0.85
    assert saliency[~inside].mean() < 0.05


def test_a_large_image_is_reduced_and_its_map_enlarged(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, inside = disc
    saliency = mbd(image.repeat(4, axis=0).repeat(4, axis=1))
    assert saliency.shape == (480, 640)
    assert (((saliency > 0.5)[::4, ::4]) == inside).mean() > 0.98


def test_smoothing_is_opening_and_closing_by_reconstruction(rng):
    saliency = np.round(rng.random((41, 57)), 1)  # with plateaus
    width = int(50 * np.sqrt(saliency.mean()))
    opened = reconstruction(minimum_filter(saliency, width), saliency, method="dilation")
    closed = reconstruction(maximum_filter(opened, width), opened, method="erosion")
    np.testing.assert_array_equal(smooth(saliency), min_max(closed))
