import pytest
import torch
from torch import nn

from usod.models.drn import DRN


def on_meta(name: str) -> DRN:
    with torch.device("meta"):
        return DRN(name)


@pytest.mark.parametrize(("name", "published"), [("drn_d_22", 16.4), ("drn_d_105", 54.8)])
def test_number_of_parameters_is_the_papers(name, published):
    classifier = 512 * 1000 + 1000
    parameters = sum(p.numel() for p in on_meta(name).parameters()) + classifier
    assert round(parameters / 1e6, 1) == published


@pytest.mark.parametrize(("name", "layers"), [("drn_d_22", 22), ("drn_d_105", 105)])
def test_the_name_counts_the_layers_of_the_classifier(name, layers):
    convolutions = [key for key, m in on_meta(name).named_modules() if isinstance(m, nn.Conv2d)]
    assert len([key for key in convolutions if "downsample" not in key]) + 1 == layers


def test_keys_and_shapes_of_the_published_checkpoint():
    shapes = {key: tuple(value.shape) for key, value in on_meta("drn_d_105").state_dict().items()}
    # Read off the published network's definition.
    expected = {
        "layer0.0.weight": (16, 3, 7, 7),
        "layer0.1.running_mean": (16,),
        "layer1.0.weight": (16, 16, 3, 3),
        "layer2.0.weight": (32, 16, 3, 3),
        "layer3.0.conv1.weight": (64, 32, 1, 1),
        "layer3.0.bn3.bias": (256,),
        "layer3.0.downsample.0.weight": (256, 32, 1, 1),
        "layer3.0.downsample.1.running_var": (256,),
        "layer4.3.conv2.weight": (128, 128, 3, 3),
        "layer5.22.conv3.weight": (1024, 256, 1, 1),
        "layer6.0.downsample.0.weight": (2048, 1024, 1, 1),
        "layer6.2.bn2.weight": (512,),
        "layer7.0.weight": (512, 2048, 3, 3),
        "layer8.1.bias": (512,),
    }
    assert {key: shapes.get(key) for key in expected} == expected
    assert "layer4.1.downsample.0.weight" not in shapes
    # A convolution and its batch norm are 1 + 5 tensors: 5 plain levels, 3 pairs in each bottleneck, 4 shortcuts.
    assert len(shapes) == 5 * 6 + (3 + 4 + 23 + 3) * 3 * 6 + 4 * 6


@pytest.mark.parametrize("name", ["drn_d_22", "drn_d_105"])
def test_dilation_and_stride_of_every_level(name):
    network = on_meta(name)
    found = {}
    for level in range(9):
        spatial = [m for m in network.get_submodule(f"layer{level}").modules() if isinstance(m, nn.Conv2d)]
        spatial = [m for m in spatial if m.kernel_size[0] > 1]
        found[level] = ({m.dilation[0] for m in spatial}, max(m.stride[0] for m in spatial))
    dilations = [1, 1, 1, 1, 1, 2, 4, 2, 1]
    strides = [1, 1, 2, 2, 2, 1, 1, 1, 1]
    assert found == {level: ({dilations[level]}, strides[level]) for level in range(9)}


def test_stages_have_the_shapes_they_announce():
    network = on_meta("drn_d_105")
    shapes = [tuple(s.shape) for s in network.stages(torch.empty(2, 3, 65, 432, device="meta"))]
    assert network.channels == (32, 256, 512, 1024, 512)
    assert shapes == [(2, 32, 33, 216), (2, 256, 17, 108), (2, 512, 9, 54), (2, 1024, 9, 54), (2, 512, 9, 54)]


def test_stages_are_the_levels_of_the_paper_and_filters_start_as_hes():
    torch.manual_seed(0)
    network, levels = DRN("drn_d_22").eval(), []
    for level in (2, 3, 4, 5, 8):
        layer = network.get_submodule(f"layer{level}")
        layer.register_forward_hook(lambda module, given, output: levels.append(output))
    with torch.no_grad():
        stages = network.stages(torch.randn(1, 3, 32, 32))
    assert all(torch.equal(stage, level) for stage, level in zip(stages, levels, strict=True))
    assert network.layer8[0].weight.std().item() == pytest.approx((2 / (3 * 3 * 512)) ** 0.5, rel=0.01)


def test_features_are_finite_and_differ_between_images():
    torch.manual_seed(0)
    with torch.no_grad():
        features = DRN("drn_d_22")(torch.randn(2, 3, 64, 64))
    assert torch.isfinite(features).all()
    assert (features[0] - features[1]).abs().max() > 0.1
