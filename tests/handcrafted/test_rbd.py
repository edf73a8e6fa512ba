import math

import numpy as np
import pytest
from scipy.optimize import minimize

from usod.handcrafted._rbd import (
    PAPER_SETTINGS,
    background_probability,
    boundary_connectivity,
    colour_scales,
    contact_orders,
    measure_regions,
    optimise,
    rbd,
    smoothness_weight,
    weighted_contrast,
)
from usod.regions.graph import min_max, paint, pairwise_distance
from usod.regions.superpixels import slic

PATH = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
COLOURS = pairwise_distance(np.array([[0.0], [2.0], [32.0]]))


def test_colour_scales_by_hand() -> None:
    # Nearest in the 1-ring: 2, 2, 30, mean 34/3; the same in the 2-ring, but 30 for the last; largest 1%: 30.
    clip, geodesic, smooth = colour_scales(PATH, COLOURS)
    assert clip == pytest.approx(34 / 3)
    assert geodesic == 5.0  # 30 / 10 is below the least value
    assert smooth == pytest.approx(6.0)  # 30 / 5
    assert colour_scales(np.zeros((1, 1), bool), np.zeros((1, 1))) == (0.0, 5.0, 0.0)


def test_boundary_connectivity_by_hand() -> None:
    # From the middle: free to itself and to the first region (2 - clip < 0), 20 to the last, on the border.
    near, far = 1.0, math.exp(-(20.0**2) / (2 * 10.0**2))
    found = boundary_connectivity(PATH, COLOURS, np.array([2]), clip=10.0, sigma=10.0)
    np.testing.assert_allclose(found[:2], far / math.sqrt(2 * near + far))
    np.testing.assert_allclose(found[2], 1 / math.sqrt(1 + 2 * far))


def test_border_regions_are_one_background() -> None:
    # First and last region look alike but an odd region lies between them: only the border links them.
    colours = pairwise_distance(np.array([[0.0], [90.0], [0.0]]))
    found = boundary_connectivity(PATH, colours, np.array([0, 2]), clip=0.0, sigma=7.0)
    np.testing.assert_allclose(found, [math.sqrt(2), 0, math.sqrt(2)])
    np.testing.assert_allclose(background_probability(found), [1 - math.exp(-1), 0, 1 - math.exp(-1)])


def test_weighted_contrast_by_hand() -> None:
    background = np.array([1.0, 0.5, 0.0])
    place = pairwise_distance(np.array([[0.0], [0.4], [9.0]]))
    raw = np.array([2 * 0.5, 2 * 1.0, 0.0]) * math.exp(-0.5)  # the third is too far from all others
    np.testing.assert_allclose(weighted_contrast(COLOURS, place, background, 0.4), raw / raw.max())


def test_contact_orders_by_hand() -> None:
    labels = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0]], np.int32)
    np.testing.assert_array_equal(contact_orders(labels), [[0, 2], [2, 0]])
    np.testing.assert_array_equal(contact_orders(np.array([[0, 1]], np.int32)), [[0, 1], [1, 0]])


def test_optimise_minimises_equation_9() -> None:
    rng = np.random.default_rng(3)
    background, foreground = rng.random(6), rng.random(6)
    contacts = np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1)
    weight = smoothness_weight(contacts, pairwise_distance(rng.random((6, 3)) * 20), np.array([0, 5]), 10.0)
    np.testing.assert_array_equal(weight > 0, weight.T > 0)
    assert weight[0, 5] > 0 and weight[0, 2] > 0 and weight[0, 3] == 0 and weight[0, 0] == 0

    def energy(s: np.ndarray) -> float:
        pairs = weight * np.subtract.outer(s, s) ** 2
        return float(background @ s**2 + foreground @ (s - 1) ** 2 + pairs.sum() / 2)

    expected = minimize(energy, np.zeros(6), tol=1e-12).x
    np.testing.assert_allclose(optimise(weight, background, foreground), expected, atol=1e-5)
    assert not optimise(weight, background, np.zeros(6)).any()


def test_the_papers_settings_are_its_equations(rng: np.random.Generator, disc: tuple[np.ndarray, np.ndarray]) -> None:
    image = np.clip(disc[0] + rng.normal(0, 25, disc[0].shape), 0, 255).astype(np.uint8)
    regions = measure_regions(image)
    # Eqs. 2 to 4: sigma_clr 10, and every colour step counts; then sigma_bndCon 1, sigma_spa 0.25 and Eq. 9.
    connectivity = boundary_connectivity(regions.contacts > 0, regions.colour_distance, regions.border, 0.0, 10.0)
    background = background_probability(connectivity, 1.0)
    contrast = weighted_contrast(regions.colour_distance, regions.spatial_distance, background, 0.25)
    smoothness = smoothness_weight(regions.contacts, regions.colour_distance, regions.border, 10.0, 0.1)
    expected = paint(regions.labels, min_max(optimise(smoothness, background, contrast)))
    np.testing.assert_array_equal(rbd(image, **PAPER_SETTINGS), expected)


def test_superpixels_are_rounded_to_the_nearest_number(disc: tuple[np.ndarray, np.ndarray]) -> None:
    labels = measure_regions(disc[0], pixels_per_region=690).labels
    np.testing.assert_array_equal(labels, slic(disc[0], 28, 20.0))  # 19200 pixels are 27.8 times 690


@pytest.mark.parametrize("settings", [{}, PAPER_SETTINGS], ids=["code", "paper"])
def test_finds_a_disc(settings: dict, disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, inside = disc
    saliency = rbd(image, **settings)
    assert saliency.dtype == np.float32
    assert saliency.shape == inside.shape
    assert saliency[inside].mean() > 0.9
    assert saliency[~inside].mean() < 0.05


def test_a_frame_is_cut_off_and_put_back(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, inside = disc
    smooth = np.full_like(image, (90, 110, 130))  # the edge of a frame against noise is not straight
    smooth[2:-2, 2:-2] = image[2:-2, 2:-2]
    framed = np.pad(smooth, ((9, 9), (9, 9), (0, 0)))
    saliency = rbd(framed)
    assert not saliency[:9].any() and not saliency[:, :9].any()
    assert saliency[9:-9, 9:-9][inside].mean() > 0.9


@pytest.mark.real_data
def test_reproduces_the_authors_maps(original_maps) -> None:  # type: ignore[no-untyped-def]
    # Most maps agree in every grey level. SED2's were made with superpixels of 550 pixels, the others with 600; where
    # an artificial frame was cut off, the stored map is stretched over it instead.
    for dataset, pixels in (("SED2", 550), ("SOD", 600), ("PASCAL-S", 600)):
        agreement = [
            np.corrcoef(rbd(image, pixels_per_region=pixels).ravel(), original.ravel())[0, 1]
            for image, original in original_maps(dataset, "rbd", count=5)
        ]
        assert np.median(agreement) > 0.999, (dataset, agreement)
        assert min(agreement) > 0.9, (dataset, agreement)
