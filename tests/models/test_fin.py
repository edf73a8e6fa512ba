"""The two networks of WSS: masking, pooling, deconvolutions."""

import pytest
import torch
from torch.nn import functional

from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.fin import FINHead, Tagged, TagHead, bilinear_deconvolution


def stages():
    torch.manual_seed(0)
    return [torch.randn(2, 6, 64 // s, 48 // s) for s in (2, 4, 8, 16, 16)]


def test_scores_are_pooled_from_masked_patterns():
    """Eq. 5 and 3.3 step by step: conv, BN, ReLU; conv, BN, sigmoid; product; pooling; linear."""
    head = TagHead(6, classes=3, pooling="gap").train()
    deepest = stages()[-1]
    found = head(stages(), (64, 48))
    assert isinstance(found, Tagged) and found.scores.shape == (2, 3) and found.foreground.shape == (2, 4, 3)

    def normed(x):
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    patterns = normed(functional.conv2d(deepest, head.patterns[0].weight, padding=1)).relu()
    foreground = normed(functional.conv2d(deepest, head.foreground[0].weight, padding=1)).sigmoid()
    expected = (patterns * foreground).mean((2, 3)) @ head.classify.weight.T + head.classify.bias
    torch.testing.assert_close(found.scores, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.foreground, foreground[:, 0], rtol=1e-4, atol=1e-5)


def test_in_evaluation_it_is_a_saliency_network():
    head = TagHead(6, classes=3).eval()
    logits = head(stages(), (64, 48))
    torch.testing.assert_close(
        logits,
        functional.interpolate(head.foreground(stages()[-1]), size=(64, 48), mode="bilinear", align_corners=False),
    )
    average = TagHead(6, classes=3, average=True).eval()(stages(), (64, 48)).sigmoid()
    assert average.shape == (2, 1, 64, 48) and average.amax((1, 2, 3)).min() > 0.5 and average.amin() < 0.2


def test_pictures_show_means_over_the_patterns():
    head = TagHead(6, classes=3).eval()
    shown, deepest = head.look(stages()), stages()[-1]
    patterns, foreground = head.patterns(deepest), head.foreground(deepest).sigmoid()[:, 0]
    expected = {"S": patterns.mean(1), "S x F": patterns.mean(1) * foreground, "F": foreground}
    for name, value in shown.items():
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_deconvolutions_start_bilinear(factor):
    image = torch.randn(1, 1, 7, 9)
    expected = functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
    inner = (..., slice(factor, -factor), slice(factor, -factor))  # they fade at the very border
    torch.testing.assert_close(bilinear_deconvolution(factor)(image)[inner], expected[inner], rtol=1e-4, atol=1e-5)


def test_the_extended_net_has_three_deconvolutions_and_two_skips():
    """With VGG-16: doubled, doubled, quadrupled; skips from conv4_3 and conv3_3."""
    with torch.device("meta"):
        head = build_network(NetworkConfig(name="vgg16", head="fin")).head
    assert [up.stride[0] for up in head.up] == [2, 2, 4]
    assert [skip[0].in_channels for skip in head.skips] == [512, 256]


@pytest.mark.parametrize("name", ["vgg16", "light", "mobilenet_v2", "resnet18"])
def test_every_backbone_gives_maps_of_the_images_size(name):
    with torch.device("meta"):
        network = build_network(NetworkConfig(name=name, head="fin"))
        assert network(torch.empty(2, 3, 75, 90)).shape == (2, 1, 75, 90)


def test_the_skips_matter():
    head = FINHead([6] * 5, (2, 4, 8, 16, 32)).eval()
    given = [torch.randn(1, 6, 64 // s, 64 // s) for s in (2, 4, 8, 16, 32)]
    changed = [*given[:2], given[2] + 1, *given[3:]]
    assert not torch.allclose(head(given, (64, 64)), head(changed, (64, 64)))
