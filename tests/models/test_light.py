import torch

from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.light import Light


def test_size_of_the_network():
    parameters = sum(p.numel() for p in build_network(NetworkConfig(name="light")).parameters())
    assert 0.1e6 < parameters < 0.5e6


def test_receptive_field_spans_a_128_px_image():
    # By gradients: all weights positive and no normalisation, so that no path cancels.
    backbone = Light()
    for layer in backbone.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.constant_(layer.weight, 1e-2)
        if isinstance(layer, torch.nn.GroupNorm):
            layer.forward = lambda x: x
    image = torch.ones(1, 3, 512, 512, requires_grad=True)
    backbone(image)[0, 0, 8, 8].backward()
    rows = image.grad[0, 0].abs().sum(dim=1).nonzero()
    assert (rows.max() - rows.min() + 1).item() == 183


def test_it_learns_to_separate_discs_in_a_few_steps():
    torch.manual_seed(0)
    grid = torch.arange(64.0)
    centres = 16 + 32 * torch.rand(8, 2)
    distance = (
        (grid[None, :, None] - centres[:, :1, None]) ** 2 + (grid[None, None, :] - centres[:, 1:, None]) ** 2
    ).sqrt()
    mask = (distance < 11).float()[:, None]
    image = torch.randn(8, 3, 64, 64) * 0.5 + mask * torch.tensor([1.0, -1.0, 0.5]).view(3, 1, 1)
    network = build_network(NetworkConfig(name="light"))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(image), mask).backward()
        optimiser.step()
    found = network(image) > 0
    iou = (found & (mask > 0)).sum() / (found | (mask > 0)).sum()
    assert iou > 0.85
