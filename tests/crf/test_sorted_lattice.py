"""The lattices for a GPU, on a CPU: against the compiled loops, whose filter test_lattice.py has against sums."""

import pytest
import torch

from usod.crf import lattice
from usod.crf.sorted_lattice import build

WIDE = [(-60.0, 60.0)] * 5


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [1, 300, 301])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_images_are_filtered_as_each_alone_by_the_compiled_loops(n, channels):
    features, values = draw(5, 3, n) * 8, draw(3, n, *channels, seed=1)
    together = build(features, WIDE).symmetrically_normalised()
    alone = [lattice.build(features[:, image]).symmetrically_normalised() for image in range(3)]
    assert together.n_vertices == sum(one.n_vertices for one in alone)
    filtered = together.filter(values.flatten(0, 1)).unflatten(0, (3, n))
    torch.testing.assert_close(filtered, torch.stack([one.filter(v) for one, v in zip(alone, values, strict=True)]))


@pytest.mark.parametrize("n", [300, 301])
def test_the_bits_do_not_depend_on_the_images_beside(n):
    features, values = draw(5, 4, n) * 8, draw(4, n, seed=1)
    together = build(features, WIDE).symmetrically_normalised()
    filtered = together.filter(values.flatten()).view(4, n)
    for image in range(4):
        alone = build(features[:, image : image + 1], WIDE).symmetrically_normalised()
        assert torch.equal(filtered[image], alone.filter(values[image]))
    assert torch.equal(together.fresh().filter(values.flatten()).view(4, n), filtered)


@pytest.mark.parametrize("count", [9_000, 20_000, 40_000])
def test_vertices_beyond_15_and_16_bits(count):
    """32,768 numbers fit in a signed type of 16 bits, and 65,536 in an unsigned one."""
    points = torch.arange(count, dtype=torch.float32).expand(1, 2, count) * 5
    built = build(points, [(0.0, 5.0 * count)])
    assert (built.n_vertices > 2**16, built.n_vertices > 2**17) == (count > 9_000, count > 20_000)
    values = draw(2 * count)
    expected = torch.cat([lattice.build(points[:, 0]).filter(part) for part in values.split(count)])
    torch.testing.assert_close(built.filter(values), expected)


def test_a_vertex_that_all_points_share_takes_its_sum_from_all():
    built = build(torch.zeros(5, 1, 1000), [(0.0, 1.0)] * 5)
    assert built.n_vertices == 6 and built.starts.diff().tolist() == [1000] * 6
    filtered = built.symmetrically_normalised().filter(torch.ones(1000))
    torch.testing.assert_close(filtered, torch.ones(1000), atol=1e-4, rtol=0)


def test_numbers_beyond_32_bits_give_the_same_lattice():
    features, values = draw(5, 1, 100), draw(100, seed=1)
    torch.testing.assert_close(
        build(features, [(-1e3, 1e3)] * 5).filter(values), build(features, [(-5.0, 5.0)] * 5).filter(values)
    )


def test_features_at_their_bounds_keep_their_numbers_apart():
    """A digit that left its range would give two vertices one number."""
    corners = torch.cartesian_prod(*[torch.tensor([-0.5, 7.0])] * 5).t()[:, None].contiguous()
    assert build(corners, [(-0.5, 7.0)] * 5).n_vertices == lattice.build(corners[:, 0]).n_vertices


def test_features_too_wide_for_numbers_are_refused():
    with pytest.raises(ValueError, match="too many standard deviations"):
        build(torch.zeros(5, 1, 4), [(0.0, 1e5)] * 5)
