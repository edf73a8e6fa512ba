import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra
from skimage.filters import threshold_otsu

from usod.regions.graph import (
    gaussian_weight,
    geodesic_distance,
    min_max,
    otsu_threshold,
    paint,
    pairwise_distance,
    two_ring,
    with_clique,
)


def path_graph(n: int) -> np.ndarray:
    return np.abs(np.subtract.outer(np.arange(n), np.arange(n))) == 1


def test_pairwise_distance_and_weight_by_hand() -> None:
    distance = pairwise_distance(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(distance, [[0, 5], [5, 0]])
    np.testing.assert_allclose(gaussian_weight(distance, 5.0)[0, 1], np.exp(-0.5))
    # Beyond three sigmas the weight is exactly 0.
    np.testing.assert_array_equal(gaussian_weight(distance, 1.6), np.eye(2))
    assert gaussian_weight(distance, 5 / 3)[0, 1] > 0
    np.testing.assert_array_equal(gaussian_weight(distance, 0.0), np.eye(2))


def test_two_ring_and_clique_of_a_path() -> None:
    reached = two_ring(path_graph(5))
    apart = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    np.testing.assert_array_equal(reached, (apart == 1) | (apart == 2))
    linked = with_clique(path_graph(5), np.array([0, 2, 4]))
    np.testing.assert_array_equal(np.argwhere(np.triu(linked & ~path_graph(5))), [[0, 2], [0, 4], [2, 4]])


def test_geodesic_distance_agrees_with_dijkstra() -> None:
    rng = np.random.default_rng(1)
    cost = rng.uniform(0.1, 9, (40, 40))
    cost = cost + cost.T
    links = np.triu(rng.random((40, 40)) < 0.05, 1)
    links = links | links.T
    expected = dijkstra(np.where(links, cost, 0), directed=False)
    assert np.isinf(expected).any()
    np.testing.assert_allclose(geodesic_distance(links, cost), expected)


def test_a_free_link_is_a_link() -> None:
    cost = np.array([[0.0, 0.0, 9.0], [0.0, 0.0, 2.0], [9.0, 2.0, 0.0]])
    np.testing.assert_array_equal(geodesic_distance(path_graph(3), cost)[0], [0, 0, 2])


def test_min_max_never_stretches_rounding_noise() -> None:
    np.testing.assert_allclose(min_max(np.array([2.0, 3.0, 6.0])), [0, 0.25, 1])
    for flat in (np.full(4, 7.0), 7 + 1e-15 * np.arange(4), np.zeros(4)):
        np.testing.assert_array_equal(min_max(flat), 0)
    assert min_max(np.array([])).size == 0


@pytest.mark.parametrize("seed", range(5))
def test_otsu_splits_as_skimage_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.clip(np.concatenate([rng.normal(0.3, 0.1, 300), rng.normal(0.7, 0.1, 100)]), 0, 1)
    level = np.round(values * 255).astype(np.uint8)
    np.testing.assert_array_equal(level <= otsu_threshold(values) * 255, level <= threshold_otsu(level))


def test_otsu_takes_the_middle_of_equally_good_levels() -> None:
    # Every threshold from 0 to 254 splits 0 from 1 equally well.
    assert otsu_threshold(np.array([0.0, 0.0, 1.0])) == pytest.approx(127 / 255)
    assert otsu_threshold(np.zeros(3)) == 0


def test_paint() -> None:
    painted = paint(np.array([[0, 1], [1, 2]], np.int32), np.array([0.5, 0.25, 1.0]))
    np.testing.assert_array_equal(painted, np.array([[0.5, 0.25], [0.25, 1.0]], np.float32))
    assert painted.dtype == np.float32
