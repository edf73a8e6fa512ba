"""DSR against hand-worked values, brute force, scikit-learn's lasso and the original authors' maps."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usod.handcrafted._dsr import (
    bayes_posterior,
    bayesian_integration,
    cluster_regions,
    dense_error,
    dsr,
    integrate_scales,
    object_biased,
    pixel_features,
    propagate_context,
    scale_weights,
    sparse_error,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def square_on_grey(height: int = 60, width: int = 80) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    image[20:40, 30:55] = (220, 40, 30)
    return image


def test_dense_error_is_the_distance_to_the_templates_line():
    templates = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [3.0, 0.0, 1.0]])  # a line along the first axis
    features = np.array([[5.0, 3.0, 0.0], [2.0, -3.0, 8.0], [2.0, 0.0, 4.0]])  # their mean is (3, 0, 4)
    np.testing.assert_allclose(dense_error(features, templates, extra_components=0), [5.0, 5.0, 0.0], atol=1e-12)


def test_dense_error_keeps_one_component_beyond_the_energy(rng):
    templates = rng.normal(size=(40, 4)) * [10.0, 1.0, 0.1, 0.01]  # the first axis has 99 % of the energy
    features = rng.normal(size=(30, 4))
    axes = np.linalg.svd(templates - templates.mean(0))[2]
    centred = features - features.mean(0)
    for extra in (0, 1):
        kept = axes[: 1 + extra]
        expected = np.linalg.norm(centred - centred @ kept.T @ kept, axis=1)
        np.testing.assert_allclose(dense_error(features, templates, extra_components=extra), expected)


def test_sparse_error_of_orthogonal_templates():
    templates = np.array([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    features = np.array([[3.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    # Codes are soft-thresholded by 0.01: residuals (0.01, 0, 0) and (0.01, 0, 0.8).
    np.testing.assert_allclose(sparse_error(features, templates), [1e-4, 1e-4 + 0.64])


def test_propagation_goes_down_the_errors_in_place():
    features = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [9.0, 0.0]])
    variance = np.var(features[:, 0]) / 2
    errors = np.array([0.2, 0.8, 0.4, 0.6])
    near, far, middle = (np.exp(-d * d / (2 * variance)) for d in (1.0, 3.0, 2.0))
    second = 0.25 * (near * 0.2 + middle * 0.4) / (near + middle) + 0.6  # the largest error goes first
    alone = 0.75 * 0.6
    third = 0.25 * (far * 0.2 + middle * second) / (far + middle) + 0.3  # and the later ones see what it became
    first = 0.25 * (near * second + far * third) / (near + far) + 0.15
    result = propagate_context(errors, features, np.array([0, 0, 0, 1]), 0.25)
    np.testing.assert_allclose(result, [first, second, third, alone])


def test_clusters_are_at_most_the_different_features():
    features = np.repeat(np.array([[0.0], [1.0], [5.0]]), 4, axis=0)
    groups = cluster_regions(features, clusters=8)
    assert len(set(groups)) == 3
    assert all(len(set(groups[i : i + 4])) == 1 for i in (0, 4, 8))


def test_pixels_weigh_scales_by_inverse_distance():
    pixels = np.array([[[0.0], [1.0]]])
    labels = [np.array([[0, 0]], np.int32), np.array([[0, 1]], np.int32)]
    features = [np.array([[3.0]]), np.array([[1.0], [3.0]])]
    weights = scale_weights(pixels, labels, features)
    np.testing.assert_allclose(weights[:, 0, 0], [1 / 4, 3 / 4])  # distances 3 and 1
    np.testing.assert_allclose(weights[:, 0, 1], [1 / 2, 1 / 2])  # distances 2 and 2
    integrated = integrate_scales(labels, [np.array([0.8]), np.array([0.4, 0.0])], weights)
    np.testing.assert_allclose(integrated, [[0.5, 0.4]], rtol=1e-6)


def test_pixel_positions():
    colours = np.zeros((2, 4, 6))
    np.testing.assert_allclose(pixel_features(colours, "paper")[1, 3, 6:], [3 / 4, 1 / 2])
    np.testing.assert_allclose(pixel_features(colours, "as_released")[1, 3, 6:], [2, 4])


def test_object_biased_gaussian_is_centred_on_the_mass(rng):
    saliency = rng.random((12, 20))
    rows, columns = np.mgrid[:12, :20]
    row, column = (np.average(axis, weights=saliency) for axis in (rows, columns))
    gaussian = np.exp(-((rows - row) ** 2) / (2 * 3.0**2) - (columns - column) ** 2 / (2 * 5.0**2))
    expected = saliency * gaussian
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(object_biased(saliency), expected)


def brute_force_posterior(prior: np.ndarray, observer: np.ndarray, bins: int) -> np.ndarray:
    inside = prior > prior.mean()
    edges = {
        side: np.linspace(observer[inside == side].min(), observer[inside == side].max(), bins + 1)
        for side in (True, False)
    }

    def bin_of(value: float, side: bool) -> int:
        return next((k for k in range(bins) if value <= edges[side][k + 1]), bins - 1)

    counts = {side: np.zeros(bins) for side in (True, False)}
    for value, side in zip(observer.ravel(), inside.ravel(), strict=True):
        counts[bool(side)][bin_of(value, bool(side))] += 1
    posterior = np.zeros(prior.shape)
    for at in np.ndindex(*prior.shape):
        k = bin_of(observer[at], bool(inside[at]))
        salient = counts[True][k] / counts[True].sum() * prior[at]
        background = counts[False][k] / counts[False].sum() * (1 - prior[at])
        posterior[at] = salient / (salient + background) if salient + background > 0 else 0.0
    return (posterior - posterior.min()) / (posterior.max() - posterior.min())


def test_bayes_posterior_equals_brute_force(rng):
    prior, observer = rng.random((2, 15, 17))
    np.testing.assert_allclose(bayes_posterior(prior, observer, 6), brute_force_posterior(prior, observer, 6))


def test_bayesian_integration_treats_both_maps_alike(rng):
    first, second = rng.random((2, 15, 17))
    np.testing.assert_allclose(bayesian_integration(first, second), bayesian_integration(second, first))


def test_dsr_finds_a_red_square_and_repeats_itself():
    image = square_on_grey()
    saliency = dsr(image)
    assert saliency.shape == (60, 80) and saliency.dtype == np.float32
    assert saliency.min() == 0 and saliency.max() == 1
    inside = np.zeros((60, 80), bool)
    inside[20:40, 30:55] = True
    assert saliency[inside].mean() > 0.8 and saliency[~inside].mean() < 0.1
    np.testing.assert_array_equal(saliency, dsr(image))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="pixel_positions"):
        dsr(np.zeros((5, 5, 3), np.uint8), pixel_positions="raw")  # type: ignore[arg-type]


@pytest.mark.real_data
@pytest.mark.skipif("USOD_REAL_DATA" not in os.environ, reason="USOD_REAL_DATA is not set")
@pytest.mark.parametrize("dataset", ["SED2", "SOD"])
def test_maps_agree_with_the_authors_code(dataset):
    root = Path(os.environ["USOD_REAL_DATA"]) / "data" / dataset
    correlations = []
    originals = sorted((root / "dsr_original").iterdir())
    for original in originals[:: len(originals) // 5][:5]:
        image = np.asarray(Image.open(root / "images" / f"{original.stem}.jpg").convert("RGB"))
        reference = np.asarray(Image.open(original).convert("L"))
        correlations.append(np.corrcoef(dsr(image).ravel(), reference.ravel())[0, 1])
    assert np.median(correlations) > 0.96
    assert min(correlations) > 0.75
