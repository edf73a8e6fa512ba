"""The head of A2S-v2's first stage."""

import pytest
import torch

from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.gated import GatedHead, corner_sign
from usod.models.ram import resize


def test_two_positive_corners_turn_a_map():
    maps = torch.full((5, 1, 4, 6), -1.0)
    maps[:, :, 1:3, 1:5] = 9.0  # what lies inside does not matter
    corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
    for positive in range(5):
        for y, x in corners[:positive]:
            maps[positive, 0, y, x] = 0.5
    assert corner_sign(maps).flatten().tolist() == [1, 1, -1, -1, -1]
    assert corner_sign(torch.zeros(1, 1, 3, 3)).item() == 1


def test_the_map_is_what_the_features_have_beyond_their_mean():
    """Turned where it is positive in the corners, which a last layer of the other sign makes of the same features."""
    torch.manual_seed(0)
    head, signs = GatedHead((4, 4, 8, 8, 8)), set()
    stages = [torch.rand(2, c, s, s) for c, s in ((4, 16), (4, 8), (8, 4), (8, 2), (8, 2))]
    gathered = torch.cat([resize(b(s), (17, 24)) for b, s in zip(head.blocks, stages[2:], strict=True)], 1)
    for turned in (1, -1):
        fused = turned * head.fuse(gathered)
        theta = (fused - fused.mean((2, 3), keepdim=True)).sum(1, keepdim=True)
        signs |= set(corner_sign(theta).flatten().tolist())
        expected = resize(theta * corner_sign(theta), (33, 48))
        handle = head.fuse.register_forward_hook(lambda module, given, out, turned=turned: turned * out)
        torch.testing.assert_close(head.train()(stages, (33, 48)), expected)
        torch.testing.assert_close(head.eval()(stages, (33, 48)), expected)
        handle.remove()
    assert signs == {-1, 1}


@pytest.mark.parametrize("size", [(64, 64), (70, 97)])
def test_a_network_with_it_takes_any_size(size):
    network = build_network(NetworkConfig(head="gated", light_width=8))
    assert network(torch.rand(2, 3, *size)).shape == (2, 1, *size)
