import numpy as np
import pytest

from usod.handcrafted._mc import (
    Chain,
    absorbed_time,
    absorbing_regions,
    affinity_matrix,
    chain_links,
    equilibrium_weight,
    mc,
    mid_grey_score,
)
from usod.regions.graph import pairwise_distance
from usod.regions.labels import adjacency

GRID = np.arange(25, dtype=np.int32).reshape(5, 5)
"""Labels of 25 regions of one pixel each."""


def test_absorbed_time_of_the_gamblers_ruin() -> None:
    # A fair walk over 1..4 that ends at 0 or 5 takes k (5 - k) steps from k.
    steps = np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1)
    chain = Chain(steps, steps.sum(axis=1), np.array([1.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(absorbed_time(chain), [4, 6, 6, 4])
    # Counting visits to the first region only: the walk's expected visits to 1 from k are 2 (5 - k) / 5.
    np.testing.assert_allclose(absorbed_time(chain, np.eye(4)[0]), [1.6, 1.2, 0.8, 0.4])


def test_absorbed_time_solves_the_fundamental_matrix() -> None:
    rng = np.random.default_rng(0)
    affinity = rng.random((7, 7))
    affinity = affinity + affinity.T
    outside, absorbed = rng.random(7), rng.random(7)
    chain = Chain(affinity, affinity.sum(axis=1) + outside, absorbed)
    transition = affinity / (affinity.sum(axis=1) + outside + absorbed)[:, None]
    weight = equilibrium_weight(chain)
    assert weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(weight * chain.degree, weight[0] * chain.degree[0])
    np.testing.assert_allclose(absorbed_time(chain, weight), np.linalg.inv(np.eye(7) - transition) @ weight)


def test_affinity_by_hand() -> None:
    linked = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    affinity = affinity_matrix(pairwise_distance(np.array([[0.0], [2.0], [6.0]])), linked)
    expected = [[1, 1 + 1e-5, 0], [1 + 1e-5, 1, np.exp(-10) + 1e-5], [0, np.exp(-10) + 1e-5, 1]]
    np.testing.assert_allclose(affinity, expected)


def test_chain_links_reach_two_steps_and_wrap_around() -> None:
    linked = chain_links(GRID, adjacency(GRID, 8))
    # From the corner: the 3 x 3 block, and at most one step around to the opposite side, in any order.
    block = {GRID[r, c] for r in range(3) for c in range(3)} - {0}
    wrapped = {4, 20} | {3, 8, 9, 15, 16, 21} | {24}
    assert set(np.flatnonzero(linked[0])) == block | wrapped
    assert not linked[12, 12]
    np.testing.assert_array_equal(linked, linked.T)


def test_absorbing_regions_with_and_without_frame() -> None:
    touching = adjacency(GRID, 8)
    border = np.ones((5, 5), bool)
    border[1:4, 1:4] = False
    inner_ring = ~border
    inner_ring[2, 2] = False
    # Each of the 16 border regions touches 1 to 3 inside: corners 1, beside corners 2, else 3; 4 + 16 + 12 = 32.
    for affinity, frame in ((13.1 / 32, False), (13.0 / 32, True)):
        absorbing, framed = absorbing_regions(GRID, touching, np.full((25, 25), affinity))
        np.testing.assert_array_equal(absorbing, (inner_ring if frame else border).ravel())
        np.testing.assert_array_equal(framed, (border & frame).ravel())


def test_mid_grey_score_by_hand() -> None:
    assert mid_grey_score(np.array([0.0, 0.05, 0.95, 1.0])) == 1
    assert mid_grey_score(np.array([0.45, 0.5])) == 5
    assert mid_grey_score(np.array([0.0, 0.3, 0.7, 1.0])) == pytest.approx((1 + 4 + 3 + 1) / 4)


def test_finds_a_disc(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, inside = disc
    saliency = mc(image)
    assert saliency.dtype == np.float32
    assert saliency.shape == inside.shape
    assert saliency[inside].mean() > 0.9
    assert saliency[~inside].mean() < 0.1


def test_an_outlier_is_salient_beside_something_salient_only(rng: np.random.Generator) -> None:
    """Two equal spots unlike all else: one in an object, one alone on the background."""
    rows, cols = np.mgrid[:120, :160]
    inside = (rows - 50) ** 2 + (cols - 60) ** 2 < 22**2
    image = np.where(inside[..., None], (150, 110, 90), (90, 110, 130)) + rng.integers(-4, 5, (120, 160, 3))
    image[45:55, 55:65] = image[90:100, 130:140] = (255, 255, 0)
    saliency = mc(image.astype(np.uint8))
    assert saliency[47:53, 57:63].min() == 1.0 and saliency[92:98, 132:138].max() == 0.0


def test_a_frame_absorbs_nothing(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, inside = disc
    saliency = mc(np.pad(image, ((12, 12), (12, 12), (0, 0))))
    assert not saliency[0].any() and not saliency[:, -1].any()
    assert saliency[12:-12, 12:-12][inside].mean() > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (3, 60), (40, 40)])
def test_a_single_region_stands_out_from_nothing(shape: tuple[int, int]) -> None:
    assert not mc(np.full((*shape, 3), 90, np.uint8), n_segments=1).any()


@pytest.mark.real_data
def test_reproduces_the_authors_maps(original_maps) -> None:  # type: ignore[no-untyped-def]
    for dataset in ("SED2", "SOD", "PASCAL-S"):
        agreement = [
            np.corrcoef(mc(image).ravel(), original.ravel())[0, 1]
            for image, original in original_maps(dataset, "mc", count=5)
        ]
        assert min(agreement) > 0.99, (dataset, agreement)
