"""The lattice filter against sums written out."""

import math

import numpy as np
import pytest
import torch

from usod.crf import simplices, sorted_lattice
from usod.crf.lattice import Lattice, build


def exact_gaussian(features: torch.Tensor) -> np.ndarray:
    """(N, N) kernel exp(-|f_i - f_j|^2 / 2), normalised symmetrically."""
    points = features.t().double().numpy()
    kernel = np.exp(-((points[:, None] - points[None]) ** 2).sum(-1) / 2)
    root = np.sqrt(kernel.sum(1))
    return kernel / root[:, None] / root[None]


def kernel_matrix(lattice: Lattice) -> np.ndarray:
    return lattice.filter(torch.eye(len(lattice.weights))).numpy()


def grid(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((x.flatten(), y.flatten())).float()


def test_in_one_dimension_it_is_linear_interpolation_on_integers_and_two_binomial_blurs():
    # d = 1: f is elevated to (c, -c) with c = f sqrt(2/3) 2 / sqrt(2), all integers are vertices, both directions of
    # the lattice are the line itself, and the gain is 1 / (1 + 1/2).
    features = torch.rand(1, 64, generator=torch.Generator().manual_seed(0)) * 5
    features = torch.cat((features, torch.arange(0, 5, 0.25)[None]), dim=1)  # no vertex in between is left untouched
    values = np.random.default_rng(0).normal(size=features.shape[1])

    c = features[0].double().numpy() * math.sqrt(2 / 3) * 2 / math.sqrt(2)
    below = np.floor(c).astype(int)
    line = np.zeros(below.max() + 2)
    np.add.at(line, below, (1 - (c - below)) * values)
    np.add.at(line, below + 1, (c - below) * values)
    # A vertex that no point touches stays zero between the two blurs: the ends of the line.
    for _ in range(2):
        line = np.convolve(line, [0.5, 1, 0.5], mode="same")
    expected = np.interp(c, np.arange(len(line)), line) / 1.5

    filtered = build(features).filter(torch.from_numpy(values).float())
    np.testing.assert_allclose(filtered.numpy(), expected, atol=2e-5)


def test_barycentric_weights_are_a_partition_of_one():
    features = torch.randn(5, 500, generator=torch.Generator().manual_seed(0)) * 4
    weights = build(features).weights * math.sqrt(1 + 2.0**-5)
    assert weights.min() > -1e-5
    torch.testing.assert_close(weights.sum(1), torch.ones(500), atol=1e-5, rtol=0)


@pytest.mark.parametrize("d", [2, 5])
def test_approximates_the_exact_gaussian(d):
    features = grid(16, 20) / 3
    # A smooth colour image, so that the points lie densely on a surface in the space of features, as in photographs.
    waves = torch.stack([torch.sin(features[0] / k) + torch.cos(features[1] / (k + 1)) for k in (1, 2, 3)])
    features = torch.cat((features, waves[: d - 2]))
    exact = exact_gaussian(features)
    lattice = build(features).symmetrically_normalised()
    assert np.linalg.norm(kernel_matrix(lattice) - exact) < 0.16 * np.linalg.norm(exact)
    smooth = torch.tanh(features[0] - 2) * torch.cos(features[1])
    expected = exact @ smooth.double().numpy()
    assert np.linalg.norm(lattice.filter(smooth).numpy() - expected) < 0.08 * np.linalg.norm(expected)


def test_channels_are_filtered_one_by_one():
    lattice = build(grid(9, 7) / 2)
    values = torch.randn(63, 3, generator=torch.Generator().manual_seed(0))
    together = lattice.filter(values)
    for channel in range(3):
        torch.testing.assert_close(lattice.filter(values[:, channel]), together[:, channel])


def test_vertices_are_numbered_in_16_bits_where_they_can_be():
    assert build(grid(8, 8)).vertices.dtype == torch.uint16
    points = torch.arange(40_000, dtype=torch.float32)[None] * 5  # so far apart that none reaches another
    values = torch.randn(40_000, generator=torch.Generator().manual_seed(0))
    lattice = build(points)
    assert lattice.n_vertices > 2**16 and lattice.neighbours.dtype == torch.int32
    torch.testing.assert_close(lattice.filter(values)[:99], build(points[:, :99]).filter(values[:99]))


@pytest.mark.parametrize("threads", [2, 5])
def test_any_number_of_threads_finds_the_same_lattice(threads):
    generator = torch.Generator().manual_seed(0)
    features, values = 5 * torch.randn(5, 4001, generator=generator), torch.randn(4001, generator=generator)
    lattice = build(features)
    assert lattice.n_vertices > 2 * simplices._ROOM  # hash tables grow
    for one, other in zip(lattice.arrays, build(features, threads).arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    by_sorting = sorted_lattice.build(features[:, None], [(-40.0, 40.0)] * 5)
    torch.testing.assert_close(lattice.filter(values), by_sorting.filter(values))


def test_symmetric_normalisation_divides_by_the_roots_of_the_row_sums():
    lattice = build(grid(8, 8) / 2)
    plain = kernel_matrix(lattice)
    root = np.sqrt(plain.sum(1))
    normalised = kernel_matrix(lattice.symmetrically_normalised())
    np.testing.assert_allclose(normalised, plain / root[:, None] / root[None], atol=1e-6)


def test_keys_beyond_32_bits_give_the_same_lattice():
    # A far point widens the range of the keys; it shares no vertex with the others.
    features = torch.randn(5, 100, generator=torch.Generator().manual_seed(0))
    values = torch.randn(100, generator=torch.Generator().manual_seed(1))
    far = torch.cat((features, torch.full((5, 4), 200.0)), dim=1)
    filtered = build(far).filter(torch.cat((values, torch.zeros(4))))
    torch.testing.assert_close(filtered[:100], build(features).filter(values))


def test_features_too_wide_for_keys_are_refused():
    with pytest.raises(ValueError, match="too many standard deviations"):
        build(torch.tensor([[0.0, 1e5]] * 5))
