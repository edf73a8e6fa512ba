import math

import numpy as np
import pytest

from usod.handcrafted._bsca import (
    PAPER_SETTINGS,
    border_clusters,
    bsca,
    coherence_values,
    colour_distinction,
    impact_factors,
    spatial_weight,
    suppress_border,
    update,
)
from usod.regions.graph import pairwise_distance

PATH = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)


def test_colour_distinction_by_hand() -> None:
    # sigma 0.5: exp(-2 d). The cluster is one colour twice, so the mean is the term itself.
    colours = np.array([[0.0, 0, 0], [0.5, 0, 0], [1.0, 0, 0]])
    raw = np.array([1 / (math.exp(-2 * d) + 10) for d in (0.0, 0.5, 1.0)])
    found = colour_distinction(colours, np.zeros((2, 3)), sigma=0.5, beta=10.0)
    np.testing.assert_allclose(found, (raw - raw[0]) / (raw[2] - raw[0]))


def test_spatial_weight_by_hand() -> None:
    cluster = np.array([[0.0, 0.0], [0.0, 1.0]])
    expected = (math.exp(-(0.5**2) / (2 * 1.3**2)) * 2) / 2
    np.testing.assert_allclose(spatial_weight(np.array([[0.0, 0.5]]), cluster, 1.3), [expected])


def test_border_clusters_are_the_colours() -> None:
    colours = np.repeat([[0.0, 0, 0], [0.5, 0.5, 0.5], [1.0, 1, 1]], [4, 5, 6], axis=0)
    groups = border_clusters(colours)
    assert len(set(groups)) == 3
    assert all(len(set(part)) == 1 for part in (groups[:4], groups[4:9], groups[9:]))
    assert set(border_clusters(colours[:6])) == {0, 1}  # no more clusters than colours


def test_impact_and_coherence_by_hand() -> None:
    # Distances 2 and 6 on the two links become 0 and 1; the pair 0-2 is not linked.
    impact = impact_factors(pairwise_distance(np.array([[0.0], [2.0], [8.0]])), PATH, steepness=10.0)
    strong, weak = 1 + 1e-5, math.exp(-10) + 1e-5
    np.testing.assert_allclose(impact, [[0, strong, 0], [strong, 0, weak], [0, weak, 0]])
    # Each region's strongest neighbour: strong, strong, weak; the last is unlike all and relies on itself.
    np.testing.assert_allclose(coherence_values(impact, a=0.6, b=0.2), [0.2, 0.2, 0.8])


def test_update_is_the_matrix_equation(rng: np.random.Generator) -> None:
    impact, saliency, coherence = rng.random((5, 5)), rng.random(5), rng.random(5)
    c, f = np.diag(coherence), np.diag(1 / impact.sum(axis=1)) @ impact
    np.testing.assert_allclose(update(saliency, impact, coherence), c @ saliency + (np.eye(5) - c) @ f @ saliency)


def test_update_by_hand() -> None:
    impact = np.array([[0.0, 3, 1], [3, 0, 0], [1, 0, 0]])
    # First cell: neighbours (3 * 0.4 + 1 * 0.8) / 4 = 0.5; it keeps a quarter of its own 1.
    found = update(np.array([1.0, 0.4, 0.8]), impact, np.array([0.25, 1.0, 0.0]))
    np.testing.assert_allclose(found, [0.25 + 0.75 * 0.5, 0.4, 1.0])
    alone = update(np.array([0.7]), np.zeros((1, 1)), np.array([0.2]))
    np.testing.assert_allclose(alone, [0.7])


def test_suppression_by_hand() -> None:
    impact, keep = PATH.astype(float), np.ones(3)  # cells that keep all of their own state
    start, border = np.array([1.0, 0.2, 0.6]), np.array([0])
    # A single step is one of the later half: 1, 0.2, 0.6 falls to 0.4, 0.2, 0.6; none is above 0.93, so all stretch.
    np.testing.assert_allclose(suppress_border(start, impact, keep, border, 1), [0.5, 0.0, 1.0])
    # Of two steps the first stretches the inner regions only; in the second the border falls below 0.
    np.testing.assert_allclose(suppress_border(start, impact, keep, border, 2), [0.001, 0.0, 1.0])
    np.testing.assert_array_equal(start, [1.0, 0.2, 0.6])  # the argument stays as it is


def test_only_the_later_half_of_the_suppression_keeps_a_body() -> None:
    start, half = np.array([1.0, 0.6, 0.2]), np.array([0.5, 1.0, 1.0])  # the border's cell takes half of the next one's
    # 1 falls to 0.4 and takes half of 0.6; inside 0.6, 0.2 become 1, 0. Then 0.5 falls below 0 and takes half of 1.
    found = suppress_border(start, PATH.astype(float), half, np.array([0]), 2)
    np.testing.assert_allclose(found, [0.5005, 1.0, 0.0])


def test_the_paper_follows_its_rule_twenty_times(disc: tuple[np.ndarray, np.ndarray], monkeypatch) -> None:
    steps = []

    def counted(*arguments: np.ndarray) -> np.ndarray:
        steps.append(arguments)
        return update(*arguments)

    monkeypatch.setattr("usod.handcrafted._bsca.update", counted)
    bsca(disc[0], **PAPER_SETTINGS)
    assert len(steps) == 20


@pytest.mark.parametrize("settings", [{}, PAPER_SETTINGS], ids=["code", "paper"])
def test_finds_a_disc(settings: dict, disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, inside = disc
    saliency = bsca(image, **settings)
    assert saliency.dtype == np.float32 and saliency.shape == inside.shape
    assert saliency.max() == 1.0
    assert saliency[inside].mean() > 0.9
    assert saliency[~inside].mean() < 0.05


def test_only_the_papers_rule_keeps_an_object_at_the_border() -> None:
    image = np.full((120, 160, 3), (90, 110, 130), np.uint8)
    image[70:, 50:110] = (210, 50, 40)
    suppressed, plain = bsca(image), bsca(image, **PAPER_SETTINGS)
    assert plain[118, 80] > 0.9
    assert suppressed[118, 80] < plain[118, 80]
