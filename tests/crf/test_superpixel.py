"""The iterative superpixel CRF of WSS against its equations and on a picture."""

import itertools
import sys

import numpy as np
import pytest

from usod.cli import main
from usod.crf.superpixel import (
    SuperpixelParams,
    features,
    mean_field,
    pairwise,
    refine_labels,
    refine_with_superpixels,
    superpixels,
    unary,
)
from usod.data.mapstore import MapStore, write_images, write_maps


@pytest.fixture
def scene(rng):
    """A red disc with a yellow spot on blue ground, its mask, a saliency map of its left and of some ground."""
    y, x = np.mgrid[:120, :160]
    mask = np.hypot(y - 60, x - 80) < 36
    image = np.where(mask[..., None], (200, 50, 40), (40, 70, 160)).astype(float)
    image[np.hypot(y - 60, x - 95) < 12] = (210, 190, 40)
    image = (image + rng.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8)
    saliency = np.where(mask & (x < 104), 0.8, 0.1)
    saliency[5:25, 5:25] = 0.9
    return image, saliency, mask


def test_kernels_are_those_of_the_paper(rng):
    """Eqs. 8 and 9 written out."""
    colours, positions = rng.random((4, 6)), rng.random((4, 2))
    p = SuperpixelParams(rho1=1.5, gamma1=0.3, gamma2=0.4, rho2=0.7, gamma3=0.2)
    found = pairwise(colours, positions, p)
    for i, j in itertools.product(range(4), repeat=2):
        place = sum((positions[i, k] - positions[j, k]) ** 2 for k in range(2))
        colour = sum((colours[i, k] - colours[j, k]) ** 2 for k in range(6))
        g1, g2 = np.exp(-place / (2 * 0.3**2) - colour / (2 * 0.4**2)), np.exp(-place / (2 * 0.2**2))
        assert found[i, j] == pytest.approx(0 if i == j else 1.5 * g1 + 0.7 * g2)


def test_mean_field_is_algorithm_1(rng):
    """Lines 4 to 8 with loops: P(a) ~ exp(-psi_u(a) - sum_j k_ij P_j(not a)), normalised."""
    n, steps = 6, 5
    energy, kernel = rng.random((n, 2)), rng.random((n, n))
    kernel = (kernel + kernel.T) * (1 - np.eye(n))
    p = np.exp(-energy)
    p /= p.sum(axis=1, keepdims=True)
    for _ in range(steps):
        new = np.empty_like(p)
        for i in range(n):
            for a in (0, 1):
                new[i, a] = np.exp(-energy[i, a] - sum(kernel[i, j] * p[j, 1 - a] for j in range(n) if j != i))
            new[i] /= new[i].sum()
        p = new
    assert mean_field(energy, kernel, steps) == pytest.approx(p[:, 1])


def test_mean_field_of_weak_kernels_is_near_the_exact_marginals(rng):
    n = 5
    energy, kernel = rng.random((n, 2)), 0.05 * rng.random((n, n))
    kernel = (kernel + kernel.T) * (1 - np.eye(n))
    weights, marginal = 0.0, np.zeros(n)
    for labels in itertools.product((0, 1), repeat=n):
        cost = sum(energy[i, a] for i, a in enumerate(labels))
        cost += sum(kernel[i, j] for i, j in itertools.combinations(range(n), 2) if labels[i] != labels[j])
        weights += np.exp(-cost)
        marginal += np.exp(-cost) * np.array(labels)
    assert mean_field(energy, kernel, 20) == pytest.approx(marginal / weights, abs=2e-3)


def test_the_unary_term_compares_two_densities(rng):
    """With one Gaussian each the densities are SciPy's."""
    from scipy.stats import multivariate_normal

    labels = np.arange(40) < 15
    colours = rng.random((40, 6)) * 0.2 + np.where(labels, 0.6, 0.2)[:, None]
    found = unary(colours, labels, SuperpixelParams(components=1))
    density = []
    for label in (False, True):
        samples = 255 * colours[labels == label]
        covariance = np.cov(samples.T, bias=True) + 0.01 * np.eye(6)
        density.append(multivariate_normal(samples.mean(axis=0), covariance).pdf(255 * colours))
    share = density[1] / (density[0] + density[1])
    probability = np.exp(-found)
    assert probability[:, 1] == pytest.approx(share, abs=1e-6) and probability.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_a_false_patch_goes_and_the_rest_of_the_object_comes(scene):
    image, saliency, mask = scene
    refined = refine_with_superpixels(image, saliency)
    before = np.abs((saliency > 0.5).astype(float) - mask).mean()
    assert np.abs(refined.astype(float) - mask).mean() < 0.6 * before
    assert not refined[5:25, 5:25].any()


def test_the_result_is_made_of_whole_superpixels_and_the_same_every_time(scene):
    image, saliency, _ = scene
    regions = superpixels(image)
    refined = refine_with_superpixels(image, saliency)
    assert all(len(set(refined[regions == number])) == 1 for number in np.unique(regions))
    assert np.array_equal(refined, refine_with_superpixels(image, saliency))
    assert 200 < regions.max() + 1 < 500


def test_a_threshold_is_of_the_map_before_superpixels_are_asked(scene):
    """A map of 0.6 on the object is salient by its mean, and nowhere above 0.65."""
    image, _, mask = scene
    faint = np.where(mask, 0.6, 0.1)
    assert refine_with_superpixels(image, faint).any()
    assert not refine_with_superpixels(image, faint, SuperpixelParams(threshold=0.65)).any()


def test_borders_can_be_kept_background(scene):
    image, saliency, _ = scene
    saliency = saliency.copy()
    saliency[:, :8] = 1
    regions = superpixels(image)
    refined = refine_with_superpixels(image, saliency, SuperpixelParams(border=False))
    at_border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    assert not refined[np.isin(regions, at_border)].any()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_with_one_label_only_nothing_changes(scene, value):
    image, saliency, _ = scene
    assert (refine_with_superpixels(image, np.full_like(saliency, value)) == bool(value)).all()


def test_few_superpixels_are_enough():
    colours, positions = features(np.zeros((8, 8, 3), np.uint8), np.repeat([[0, 1]], 8, 0).repeat(4, 1))
    labels = np.array([True, False])
    assert refine_labels(colours, positions, labels, SuperpixelParams()).shape == (2,)
    assert refine_with_superpixels(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4))).all()


@pytest.mark.parametrize(
    ("image", "saliency", "told"),
    [
        (np.zeros((8, 8, 3)), np.zeros((8, 8)), "images must be uint8, got float64"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8)), r"shape \(H, W, 3\), got \(8, 8\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((8, 8)), r"shape \(H, W, 3\), got \(2, 8, 8, 3\)"),
        (np.zeros((8, 8, 3), np.uint8), np.full((8, 8), np.nan), "no NaN"),
        (np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 255.0), r"in \[0, 1\]"),
        (np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 255, np.uint8), "float32, got uint8"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9)), "do not fit"),
    ],
)
def test_what_is_no_photograph_or_no_map_is_refused(image, saliency, told):
    with pytest.raises(ValueError, match=told):
        refine_with_superpixels(image, saliency)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_any_number_of_workers_makes_the_same_masks(scene, tmp_path, monkeypatch, workers):
    """Also more than there are images; on the command line, which hands paths and numbers to its workers."""
    image, saliency, _ = scene
    ids, attributes = [f"i{number}" for number in range(3)], {"created_by": "test", "config": {}, "inputs": {}}
    stores = (tmp_path / "images.h5", ids, (120, 160), np.full((3, 2), 9), attributes)
    with write_images(*stores) as rows:
        rows.fill([np.roll(image, 5 * number, axis=1) for number in range(3)])
    with write_maps(tmp_path / "maps.h5", *stores[1:]) as rows:
        rows.fill([np.roll(saliency, 5 * number, axis=1) for number in range(3)])
    command = ["usod", "crf", "superpixel", tmp_path / "maps.h5", "--images", tmp_path / "images.h5"]
    monkeypatch.setattr(sys, "argv", [*map(str, command), "--out", str(tmp_path / "o.h5"), "--workers", str(workers)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    with MapStore(tmp_path / "o.h5") as masks, MapStore(tmp_path / "maps.h5") as maps:
        assert masks.ids == ids
        for number, key in enumerate(ids):
            expected = refine_with_superpixels(np.roll(image, 5 * number, axis=1), maps[key])
            np.testing.assert_array_equal(masks[key], expected)
