"""The two heads of A2S against their equations."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu
from torch.nn import functional

from usod.models.activation import ActivationHead, Boundary, Decisions, foreground_sign, inter_class_variance
from usod.models.build import build_backbone, build_network
from usod.models.config import NetworkConfig
from usod.models.ram import RAMHead, ResidualAttention


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_the_detector_has_the_papers_number_of_parameters():
    """Table VII: 28.40 M, 28.25 M without attention. Theirs holds ResNet-50's unused classifier of 2.05 M."""
    backbone = build_backbone(NetworkConfig(name="resnet50", weights="none", output_stride=32))
    classifier = 2048 * 1000 / 1e6 + 1000 / 1e6
    for attention, expected in ((True, 28.40), (False, 28.25)):
        found = parameters(backbone) + classifier + parameters(RAMHead(backbone.channels, attention))
        assert found == pytest.approx(expected, abs=0.005)


def test_attention_listens_where_a_stage_knows_more_than_the_deepest():
    """Eqs. 9 and 10, written out."""
    torch.manual_seed(0)
    module = ResidualAttention()
    h1, h2, h5 = torch.rand(2, 64, 12, 16), torch.rand(2, 64, 6, 8), torch.rand(2, 64, 3, 4)
    base = functional.interpolate(module.base(h5), (12, 16), mode="bilinear")
    h2_up = functional.interpolate(h2, (12, 16), mode="bilinear")
    enhanced = [h * torch.sigmoid(conv(h - base)) for h, conv in zip((h1, h2_up), module.attend, strict=True)]
    expected = module.fuse(torch.cat([*enhanced, base], dim=1))
    torch.testing.assert_close(module(h1, h2, h5), expected)
    plain = ResidualAttention(attention=False)
    base = functional.interpolate(plain.base(h5), (12, 16), mode="bilinear")
    torch.testing.assert_close(plain(h1, h2, h5), plain.fuse(torch.cat([h1, h2_up, base], dim=1)))


def test_the_detectors_map_is_the_sum_of_local_times_regional_features():
    """Eqs. 7 to 11, written out."""
    torch.manual_seed(0)
    head = RAMHead((3, 4, 5, 6, 7))
    stages = [torch.rand(2, c, 64 // s, 32 // s) for c, s in zip((3, 4, 5, 6, 7), (2, 4, 8, 16, 32), strict=True)]
    h1, h2, h3, h4, h5 = (adapt(stage) for adapt, stage in zip(head.adapt, stages, strict=True))
    regional = functional.interpolate(head.regional(h3, h4, h5), (32, 16), mode="bilinear")
    wide = functional.interpolate(head.widen(h5), (4, 2), mode="bilinear")
    local = head.local(h1, h2, functional.interpolate(head.narrow(wide), (8, 4), mode="bilinear"))
    expected = torch.einsum("bchw,bchw->bhw", local, regional)[:, None]
    expected = functional.interpolate(expected, (64, 32), mode="bilinear")
    torch.testing.assert_close(head(stages, (64, 32)), expected, rtol=1e-4, atol=1e-4)


def test_decision_boundaries_by_hand():
    """Section IV-E for two pixels (1, 2) and (3, 0), the other 62 channels 0: mean (2, 1)."""
    features = torch.zeros(1, 64, 1, 2)
    features[0, :2, 0] = torch.tensor([[1.0, 3.0], [2.0, 0.0]])
    expected = {"db5": [0, 0], "db2": [4, 6], "db3": [-1, 1], "db4": [0, 0]}
    for kind, values in expected.items():
        assert Boundary(kind)(features).flatten().tolist() == pytest.approx(values)
    learnt = Boundary("db4")
    learnt.weights.data[0] = 3.0
    assert learnt(features).flatten().tolist() == pytest.approx([-2, 2])
    overall = Boundary("db1").eval()
    overall.overall[0] = 0.5
    assert overall(features).flatten().tolist() == pytest.approx([2.5, 2.5])
    overall.train()(features)
    assert overall.overall[:2].tolist() == pytest.approx([0.5 * 0.9 + 2 * 0.1, 0.1])


def test_inter_class_variance_is_otsus():
    """Eq. 2: the threshold that scikit-image's Otsu finds is nowhere surpassed."""
    activation = torch.cat([torch.randn(200) - 2, torch.randn(56) + 2]).view(1, 16, 16)
    low, high = activation[activation < 0], activation[activation >= 0]
    share = len(high) / 256
    by_hand = share * (1 - share) * (low.mean() - high.mean()) ** 2
    torch.testing.assert_close(inter_class_variance(activation, torch.zeros(1)), by_hand[None])
    otsu = inter_class_variance(activation, torch.tensor([threshold_otsu(activation.numpy())]))
    assert all(inter_class_variance(activation, torch.tensor([t])) <= 1.02 * otsu for t in np.linspace(-3, 3, 25))
    assert inter_class_variance(activation, torch.tensor([99.0])) == 0


def test_the_smaller_part_is_the_foreground():
    """Eq. 5: one of four positive keeps its sign, three of four turn it, half keeps it."""
    decision = torch.tensor([[[2.0, -1.0, -1.0, -1.0]], [[1.0, 1.0, 1.0, -3.0]], [[1.0, 1.0, -1.0, -1.0]]])
    assert foreground_sign(decision).tolist() == [1, -1, 1]


def test_the_activation_head_trains_on_four_maps_and_predicts_one():
    torch.manual_seed(0)
    network = build_network(NetworkConfig(head="activation", light_width=8))
    image = torch.rand(2, 3, 65, 96)
    decisions = network(image)
    assert isinstance(decisions, Decisions) and decisions.fused.shape == (2, 33, 48)
    for theta in (decisions.fused, *decisions.auxiliary):
        assert theta.mean((-2, -1)).abs().max() < 1e-3
    network.eval()
    logits = network(image)
    assert logits.shape == (2, 1, 65, 96)
    assert ((logits > 0).float().mean((-2, -1)) < 0.6).all()


def test_the_gate_of_a_block_sees_the_whole_image():
    torch.manual_seed(0)
    block = ActivationHead((4, 4, 8, 8, 8)).blocks[0]
    image = torch.rand(1, 8, 10, 10)
    changed = image.clone()
    changed[..., 9, 9] += 5
    assert not torch.equal(block(image)[..., 0, 0], block(changed)[..., 0, 0])
    x = block.transform(image)
    gate = block.gate.weight[..., 0, 0] @ x.mean((2, 3))[0] + block.gate.bias
    torch.testing.assert_close(block(image), x * gate.sigmoid()[:, None, None])


@pytest.mark.parametrize("size", [(64, 64), (70, 97)])
def test_the_detector_takes_any_size(size):
    network = build_network(NetworkConfig(head="ram", light_width=8))
    assert network(torch.rand(2, 3, *size)).shape == (2, 1, *size)
