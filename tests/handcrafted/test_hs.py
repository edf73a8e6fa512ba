"""HS against brute force and hand-worked values: region scales, merging, the two cues, the inference on the tree."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from usod.handcrafted._hs import (
    SED2_SIGMA,
    hierarchical_inference,
    hs,
    local_contrast,
    location_prior,
    over_segment,
    region_layers,
    region_parents,
)
from usod.handcrafted.region_merging import merge_small_regions, region_scale


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def blobs(rng: np.random.Generator, height: int, width: int, n: int) -> np.ndarray:
    """Ragged connected regions: nearest of n noisy seeds, split into connected parts."""
    seeds = rng.random((n, 2)) * (height, width)
    grid = np.stack(np.mgrid[:height, :width], axis=-1) + rng.normal(0, 0.8, (height, width, 2))
    nearest = np.linalg.norm(grid[:, :, None] - seeds, axis=-1).argmin(axis=2)
    labels = np.zeros((height, width), np.int32)
    for k in range(n):
        parts, count = ndimage.label(nearest == k)
        labels[parts > 0] = labels.max() + parts[parts > 0]
        assert count > 0
    return labels - 1


def brute_force_scale(labels: np.ndarray) -> list[int]:
    """Try every square."""
    height, width = labels.shape
    scale = [0] * (int(labels.max()) + 1)
    for y in range(height):
        for x in range(width):
            for side in range(1, min(height - y, width - x) + 1):
                square = labels[y : y + side, x : x + side]
                if (square == square[0, 0]).all():
                    scale[square[0, 0]] = max(scale[square[0, 0]], side)
    return scale


def test_scale_is_the_side_of_the_largest_square(rng):
    labels = blobs(rng, 17, 23, 9)
    np.testing.assert_array_equal(region_scale(labels), brute_force_scale(labels))
    assert region_scale(np.zeros((7, 4), np.int32)) == [4]


def test_scale_passes_the_papers_box_filter_test(rng):
    """The paper's own test: a region is smaller than t if every pixel of it changes under a t x t box filter."""
    labels = blobs(rng, 20, 20, 6)
    scale = region_scale(labels)
    for region in range(len(scale)):
        inside = (labels == region).astype(float)
        for t in (1, 2, 3, 4, 5, 7):
            box = ndimage.uniform_filter(inside, t, mode="constant", origin=0)
            assert (scale[region] >= t) == bool((box > 1 - 1e-9).any())


def test_merging_takes_the_nearest_colour_and_leaves_no_small_region():
    # A one-pixel column 1 between grey 0 and grey 100: its colour 30 is nearer to the left.
    labels = np.repeat([[0, 0, 0, 1, 2, 2, 2]], 4, axis=0)
    colours = np.repeat([[0.0, 0, 0, 30, 100, 100, 100]], 4, axis=0)[..., None]
    (merged,) = merge_small_regions(labels, colours, (3,))
    np.testing.assert_array_equal(merged, np.repeat([[0, 0, 0, 0, 1, 1, 1]], 4, axis=0))
    # Of neighbours that are equally near, the lowest label, on whichever side it is.
    colours[:, 3] = 50.0
    for sides in (labels, labels[:, ::-1], 2 - labels):
        (merged,) = merge_small_regions(sides, colours, (3,))
        np.testing.assert_array_equal(merged, np.where(sides == 2, 1, 0))


def test_merging_uses_the_colour_of_the_union():
    # Bars of width 1 and colours 0, 4, 9 beside a block of 10. Bars 0 and 1 join first (mean 2). Bar 2 is then nearest
    # to the block, and what is left of scale 2 joins it only if 3 is asked for.
    labels = np.repeat([[0, 1, 2, 3, 3, 3]], 4, axis=0)
    colours = np.repeat([[0.0, 4, 9, 10, 10, 10]], 4, axis=0)[..., None]
    fine, coarse = merge_small_regions(labels, colours, (2, 3))
    np.testing.assert_array_equal(fine[0], [0, 0, 1, 1, 1, 1])
    assert coarse.max() == 0


def brute_force_merging(labels: np.ndarray, colours: np.ndarray, threshold: int) -> np.ndarray:
    """By the words of the docstring, everything anew at every step."""
    labels = labels.copy()
    while True:
        scale = {k: side for k, side in enumerate(region_scale(labels)) if side}  # tested above
        small = min(scale, key=lambda k: (scale[k], k))
        if scale[small] >= threshold or len(scale) == 1:
            return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        around = ndimage.binary_dilation(labels == small) & (labels != small)
        mean = colours[labels == small].mean(axis=0)
        beside = [(np.sum((colours[labels == k].mean(axis=0) - mean) ** 2), k) for k in np.unique(labels[around])]
        other = min(beside)[1]
        labels[(labels == small) | (labels == other)] = min(small, other)


@pytest.mark.parametrize("seed", range(2))
def test_merging_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    labels, colours = blobs(rng, 22, 26, 25), rng.random((22, 26, 3))
    fine, coarse = merge_small_regions(labels, colours, (3, 5))
    np.testing.assert_array_equal(fine, brute_force_merging(labels, colours, 3))
    np.testing.assert_array_equal(coarse, brute_force_merging(fine, colours, 5))
    assert labels.max() > fine.max() > coarse.max() > 0


def test_layers_are_nested_and_reach_their_scales(rng):
    image = rng.integers(0, 256, (90, 120, 3)).astype(np.uint8)
    image = ndimage.uniform_filter(image, (5, 5, 1))
    layers = region_layers(image)
    for labels, threshold in zip(layers, (3, 17, 33), strict=True):
        assert labels.dtype == np.int32 and labels.min() == 0
        assert len(np.unique(labels)) == labels.max() + 1
        assert region_scale(labels).min() >= threshold
        assert all(ndimage.label(labels == k)[1] == 1 for k in range(0, labels.max() + 1, 7))
    for fine, coarse in pairwise(layers):
        np.testing.assert_array_equal(region_parents(fine, coarse)[fine], coarse)


def test_over_segmentation_follows_edges():
    luv = np.zeros((20, 30, 3))
    luv[:, 12:, 0] = 50.0
    labels = over_segment(luv)
    assert labels.max() == 1
    assert np.unique(labels[:, :11]).size == 1 and np.unique(labels[:, 13:]).size == 1


def test_local_contrast_equals_its_double_sum(rng):
    colours, centres, counts = rng.random((20, 3)) * 100, rng.random((20, 2)), rng.integers(1, 50, 20)
    expected = [
        sum(
            counts[j] * np.exp(-np.sum((centres[i] - centres[j]) ** 2) / 0.12) * np.linalg.norm(colours[i] - colours[j])
            for j in range(20)
        )
        for i in range(20)
    ]
    np.testing.assert_allclose(local_contrast(colours, centres, counts, 0.12), expected, rtol=1e-5)


def test_location_prior_averages_over_the_pixels():
    labels = np.array([[0, 0, 1, 1]] * 3)
    rows, columns = (-1 / 3, 0, 1 / 3), (-1.5 / 4, -0.5 / 4)
    expected = np.mean([np.exp(-9 * (r * r + c * c)) for r in rows for c in columns])
    np.testing.assert_allclose(location_prior(labels), [expected, expected])


@pytest.mark.parametrize("data_weights", [(0.5, 4.0, 2.0), (1.0, 2.0, 3.0)])
def test_inference_minimises_the_energy(rng, data_weights):
    sizes, ties = (12, 5, 2), (4.0, 1.5)
    cues = [rng.random(n) for n in sizes]
    parents = [rng.integers(0, sizes[1], sizes[0]), rng.integers(0, sizes[2], sizes[1])]
    offset = np.cumsum((0, *sizes))
    matrix, target = np.zeros((offset[-1], offset[-1])), np.zeros(offset[-1])
    for layer, beta in enumerate(data_weights):
        here = np.arange(offset[layer], offset[layer + 1])
        matrix[here, here] += beta
        target[here] = beta * cues[layer]
        if layer < 2:
            for i, parent in zip(here, offset[layer + 1] + parents[layer], strict=True):
                matrix[np.ix_([i, parent], [i, parent])] += ties[layer] * np.array([[1, -1], [-1, 1]])
    expected = np.split(np.linalg.solve(matrix, target), offset[1:-1])
    for result, solution in zip(hierarchical_inference(cues, parents, data_weights, ties), expected, strict=True):
        np.testing.assert_allclose(result, solution)


def test_hs_finds_a_red_square_and_repeats_itself():
    image = np.full((120, 160, 3), 90, np.uint8)
    image[40:80, 60:110] = (220, 40, 30)
    saliency = hs(image)
    inside = np.zeros((120, 160), bool)
    inside[40:80, 60:110] = True
    assert saliency.shape == (120, 160) and saliency.dtype == np.float32
    assert saliency[inside].mean() > 0.9 and saliency[~inside].mean() < 0.1
    np.testing.assert_array_equal(saliency, hs(image))


def test_the_range_is_the_papers_and_not_the_one_that_sed2_likes(rng):
    image = ndimage.uniform_filter(rng.integers(0, 256, (60, 90, 3)).astype(np.uint8), (7, 7, 1))
    np.testing.assert_array_equal(hs(image), hs(image, sigma=0.2))
    assert np.abs(hs(image) - hs(image, sigma=SED2_SIGMA)).max() > 0.02


def test_wrong_arguments_are_named():
    image = np.zeros((9, 9, 3), np.uint8)
    with pytest.raises(ValueError, match="increase"):
        hs(image, scale_thresholds=(3, 3, 33))
    with pytest.raises(ValueError, match="one data weight per layer"):
        hs(image, scale_thresholds=(3, 17))


@pytest.mark.real_data
@pytest.mark.skipif("USOD_REAL_DATA" not in os.environ, reason="USOD_REAL_DATA is not set")
def test_objects_of_photographs_are_brighter_than_their_background():
    root = Path(os.environ["USOD_REAL_DATA"]) / "data" / "PASCAL-S"
    scores = []
    for path in sorted((root / "images").iterdir())[::45]:
        saliency = hs(np.asarray(Image.open(path).convert("RGB")))
        mask = np.asarray(Image.open(root / "masks" / f"{path.stem}.png").convert("L")) > 127
        found = saliency >= min(2 * saliency.mean(), 1)
        hit = np.count_nonzero(found & mask)
        precision, recall = hit / max(found.sum(), 1), hit / max(mask.sum(), 1)
        scores.append(1.3 * precision * recall / max(0.3 * precision + recall, 1e-9))
    assert np.mean(scores) > 0.45
