import math
import os
from pathlib import Path

import pytest
import torch
import torchvision

from usod.models.backbones import MobileNetV2, ResNet
from usod.models.build import build_backbone
from usod.models.config import NetworkConfig
from usod.models.weights import load_weights

NAMES = ["drn_d_105", "drn_d_22", "resnet101", "resnet50", "resnet18", "mobilenet_v2", "light"]


def torchvision_twin(name: str, backbone: torch.nn.Module) -> torch.nn.Module:
    """torchvision's own network with the same weights (and random batch norms, so that their effect shows)."""
    twin = torchvision.models.get_model(name, weights=None)
    generator = torch.Generator().manual_seed(1)
    for layer in twin.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    backbone.load_state_dict({k: v for k, v in twin.state_dict().items() if k in backbone.state_dict()})
    return twin.double().eval()


@pytest.mark.parametrize("name", NAMES)
def test_stages_have_the_announced_shapes_at_odd_sizes(name):
    with torch.device("meta"):
        backbone = build_backbone(NetworkConfig(name=name))
        stages = backbone.stages(torch.empty(1, 3, 75, 32))
    expected = [
        (1, c, math.ceil(75 / s), math.ceil(32 / s)) for c, s in zip(backbone.channels, backbone.strides, strict=True)
    ]
    assert len(stages) == 5
    assert [tuple(s.shape) for s in stages] == expected


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101"])
def test_resnet_lacks_only_the_classifier(name):
    with torch.device("meta"):
        ours, theirs = ResNet(name), torchvision.models.get_model(name, weights=None)
    del theirs.fc
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


@pytest.mark.parametrize("stride", [8, 16])
def test_dilated_resnet50_is_torchvisions(stride):
    backbone = ResNet("resnet50", output_stride=stride).double().eval()
    twin = (
        torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, stride == 8, True])
        .double()
        .eval()
    )
    backbone.load_state_dict({k: v for k, v in twin.state_dict().items() if not k.startswith("fc.")})
    image = torch.randn(1, 3, 64, 48, dtype=torch.float64)
    with torch.no_grad():
        x = twin.maxpool(twin.relu(twin.bn1(twin.conv1(image))))
        expected = twin.layer4(twin.layer3(twin.layer2(twin.layer1(x))))
        torch.testing.assert_close(backbone(image), expected)


@pytest.mark.parametrize(
    ("name", "stride"), [("resnet18", 8), ("resnet18", 16), ("resnet50", 8), ("mobilenet_v2", 8), ("mobilenet_v2", 16)]
)
def test_dilation_only_adds_cells_between_those_of_the_published_network(name, stride):
    torch.manual_seed(0)
    backbone = (MobileNetV2(stride) if name == "mobilenet_v2" else ResNet(name, stride)).double().eval()
    twin = torchvision_twin(name, backbone)
    image = torch.randn(1, 3, 96, 70, dtype=torch.float64)
    with torch.no_grad():
        stem, *_, deepest = backbone.stages(image)
        if name == "mobilenet_v2":
            twin_stem, twin_deepest = twin.features[0](image), twin.features[:18](image)
        else:
            twin_stem = twin.relu(twin.bn1(twin.conv1(image)))
            x = twin.layer2(twin.layer1(twin.maxpool(twin_stem)))
            twin_deepest = twin.layer4(twin.layer3(x))
    step = 32 // stride
    assert torch.equal(stem, twin_stem)
    torch.testing.assert_close(deepest[..., ::step, ::step], twin_deepest)


def test_frozen_batchnorm_keeps_its_statistics_and_by_choice_its_scale():
    backbone = ResNet("resnet18")
    backbone.freeze_batchnorm()
    backbone.train()
    before = {k: v.clone() for k, v in backbone.state_dict().items() if "running" in k}
    backbone(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(torch.equal(backbone.state_dict()[k], v) for k, v in before.items())
    assert backbone.bn1.weight.grad is not None
    assert backbone.conv1.weight.grad is not None
    backbone.freeze_batchnorm(affine=True)
    assert not backbone.bn1.weight.requires_grad
    assert backbone.conv1.weight.requires_grad


@pytest.mark.real_data
@pytest.mark.skipif("USOD_REAL_DATA" not in os.environ, reason="USOD_REAL_DATA names no folder of real data")
def test_mobilenet_takes_all_of_its_imagenet_weights():
    weights = Path(os.environ["USOD_REAL_DATA"]) / "weights" / "mobilenet_v2_imagenet.safetensors"
    backbone = MobileNetV2()
    report = load_weights(backbone, NetworkConfig(name="mobilenet_v2", weights=str(weights)))
    assert report.missing == report.mismatched == ()
    assert len(report.matched) == len([k for k in backbone.state_dict() if "num_batches" not in k])
    assert all(key.startswith(("classifier.", "features.18.")) for key in report.unused)
