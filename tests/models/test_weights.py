import hashlib
import urllib.error
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision

from usod.errors import UsageError, UsodError
from usod.models.backbones import MobileNetV2, ResNet
from usod.models.build import build_backbone, build_network
from usod.models.config import NetworkConfig
from usod.models.drn import DRN
from usod.models.model_file import save_model
from usod.models.registry import BACKBONES
from usod.models.sources import where_from
from usod.models.stages import Backbone
from usod.models.weights import LoadReport, describe_weights, load_weights, torchvision_weights


def cityscapes_checkpoint(drn: DRN) -> dict[str, torch.Tensor]:
    """The state dict of a DRN segmentation network as published, in DataParallel, without step counters."""
    backbone = {k: v for k, v in drn.state_dict().items() if "num_batches" not in k}
    named = {"module.base." + key.removeprefix("layer"): value for key, value in backbone.items()}
    extra = {
        "seg.weight": torch.zeros(19, 512, 1, 1),
        "seg.bias": torch.zeros(19),
        "up.weight": torch.zeros(19, 1, 16, 16),
    }
    return named | {"module." + key: value for key, value in extra.items()}


def assert_same_backbone(one: torch.nn.Module, other: torch.nn.Module) -> None:
    theirs = other.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in one.state_dict().items() if "num_batches" not in k)


def fill(backbone: Backbone, weights: object) -> LoadReport:
    return load_weights(backbone, NetworkConfig(name=backbone.name, weights=str(weights)))


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_drn_cityscapes_checkpoint(tmp_path, prefix):
    source, target = DRN("drn_d_22"), DRN("drn_d_22")
    state = {prefix + key.removeprefix("module."): v for key, v in cityscapes_checkpoint(source).items()}
    assert prefix + "base.3.0.downsample.0.weight" in state
    path = tmp_path / "drn_d_22_cityscapes.pth"
    torch.save(state, path)
    report = fill(target, str(path))
    assert report.missing == report.mismatched == ()
    assert report.unused == ("seg.bias", "seg.weight", "up.weight")
    assert_same_backbone(source, target)
    config = NetworkConfig(name="drn_d_22", weights=str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = {"name": "drn_d_22_cityscapes.pth", "sha256": digest, "labels": "ImageNet+Cityscapes"}
    assert describe_weights(config) == expected


def test_drn_classification_checkpoint_in_the_format_of_2017(tmp_path):
    source, target = DRN("drn_d_22"), DRN("drn_d_22")
    state = source.state_dict() | {"fc.weight": torch.zeros(1000, 512, 1, 1), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "drn.pth", _use_new_zipfile_serialization=False)
    assert fill(target, str(tmp_path / "drn.pth")).unused == ("fc.bias", "fc.weight")
    assert_same_backbone(source, target)


def test_moco_checkpoint_fills_from_the_query_encoder(tmp_path):
    source, target = torchvision.models.resnet50(weights=None), ResNet("resnet50", output_stride=32)
    state = {"module.encoder_q." + key: value for key, value in source.state_dict().items() if "fc." not in key}
    state |= {"module.encoder_k." + key: value * 0 for key, value in source.layer1.state_dict(prefix="layer1.").items()}
    state |= {"module.encoder_q.fc.0.weight": torch.zeros(8, 8), "module.queue": torch.zeros(128, 16)}
    path = tmp_path / "moco_v2_800ep_pretrain.pth.tar"
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state, "optimizer": {}}, path)
    report = fill(target, str(path))
    assert report.missing == report.mismatched == ()
    assert report.unused == ("fc.0.weight",)
    assert_same_backbone(target, source)
    assert describe_weights(NetworkConfig(name="resnet50", weights=str(path)))["labels"] == "none"


def test_torchvision_safetensors_and_an_explicit_label(tmp_path):
    twin, target = torchvision.models.mobilenet_v2(weights=None), MobileNetV2()
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(twin.state_dict(), path)
    assert not fill(target, str(path)).missing
    assert_same_backbone(target, twin)
    config = {"name": "mobilenet_v2", "weights": str(path)}
    assert describe_weights(NetworkConfig(**config))["labels"] == "unknown"
    assert describe_weights(NetworkConfig(**config, weights_labels="ImageNet"))["labels"] == "ImageNet"


def test_labels_that_contradict_the_weights_are_refused(tmp_path):
    """By name, by content; a file called like MoCo's is not MoCo's."""
    with pytest.raises(
        ValueError, match="weights_labels: 'none', but torchvision's DEFAULT of resnet50 was trained with"
    ):
        NetworkConfig(name="resnet50", weights="DEFAULT", weights_labels="none")
    drn = tmp_path / "mine.pth"
    torch.save(cityscapes_checkpoint(DRN("drn_d_22")), drn)
    with pytest.raises(
        UsageError, match=r"mine.pth was trained with 'ImageNet\+Cityscapes'; leave the key out"
    ) as error:
        describe_weights(NetworkConfig(name="drn_d_22", weights=str(drn), weights_labels="none"))
    one_line(error)
    voc = cityscapes_checkpoint(DRN("drn_d_22")) | {"module.seg.weight": torch.zeros(21, 512, 1, 1)}
    torch.save(voc, tmp_path / "voc.pth")
    described = describe_weights(NetworkConfig(name="drn_d_22", weights=str(tmp_path / "voc.pth")))
    assert described["labels"] == "unknown", "Cityscapes has 19 classes"
    other = tmp_path / "moco_v2_800ep_pretrain.pth.tar"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), other)
    assert describe_weights(NetworkConfig(name="resnet50", weights=str(other)))["labels"] == "unknown"


def test_own_model_as_starting_point_keeps_its_labels_and_its_head_is_left(tmp_path, capsys):
    torch.manual_seed(0)
    config = NetworkConfig()
    first = build_network(config)
    save_model(tmp_path / "model.safetensors", first, config, extra={"labels": "image tags"})
    start = NetworkConfig(weights=str(tmp_path / "model.safetensors"))
    second = build_network(start)
    assert "tensors loaded, 0 missing" in capsys.readouterr().err
    assert_same_backbone(first.backbone, second.backbone)
    assert not torch.equal(first.head.classify.weight, second.head.classify.weight)
    assert second.weights["labels"] == "image tags"


def test_part_of_the_tensors_is_reported_and_almost_none_refused(tmp_path):
    source = ResNet("resnet18").state_dict()
    del source["layer1.0.conv1.weight"]
    source["layer1.0.conv2.weight"] = torch.zeros(3)
    torch.save(source, tmp_path / "part.pth")
    report = fill(ResNet("resnet18"), str(tmp_path / "part.pth"))
    assert report.missing == ("layer1.0.conv1.weight",)
    assert report.mismatched == ("layer1.0.conv2.weight",)
    assert "1 missing, 1 of another shape" in str(report)
    with pytest.raises(UsodError, match=r"part\.pth does not fit mobilenet_v2: 0 of 255 tensors") as error:
        fill(MobileNetV2(), str(tmp_path / "part.pth"))
    one_line(error)


def test_a_file_of_which_a_quarter_fits_is_of_another_network(tmp_path):
    source = {name: value for name, value in ResNet("resnet18").state_dict().items() if not name.startswith("layer4.")}
    torch.save(source, tmp_path / "quarter.pth")
    with pytest.raises(UsodError, match=r"quarter\.pth does not fit resnet18: 75 of 100 tensors"):
        fill(ResNet("resnet18"), tmp_path / "quarter.pth")


class Evil:
    def __reduce__(self):
        return (print, ("code of the file was run",))


@pytest.mark.parametrize(
    "name", ["gone.safetensors", "gone.pth", "code.pth", "text.pth", "text.safetensors", "empty.pth"]
)
def test_bad_files_are_one_line_with_their_name(tmp_path, capsys, name):
    path = tmp_path / name
    if name == "code.pth":
        torch.save({"layer": Evil()}, path)
    elif name == "empty.pth":
        torch.save({"epoch": 3}, path)
    elif name.startswith("text"):
        path.write_text("<html>not found</html>")
    with pytest.raises(UsodError, match="weights: ") as error:
        build_network(NetworkConfig(name="resnet18", weights=str(path)))
    assert str(path) in one_line(error)
    assert "code of the file" not in capsys.readouterr().out


def test_without_a_network_the_missing_file_and_its_place_are_named(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UsodError) as error:
        fill(ResNet("resnet18"), "DEFAULT")
    message = one_line(error)
    assert "download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert str(Path(tmp_path) / "checkpoints" / "resnet18-f37072fd.pth") in message
    assert message.startswith("weights: DEFAULT of resnet18: ") and not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("name", "network", "place"),
    [
        ("drn-d-105_ms_cityscapes.pth", "drn_d_105", "http://go.yf.io/drn-cityscapes-models"),
        ("drn-d-22_cityscapes.pth", "drn_d_22", "http://go.yf.io/drn-cityscapes-models"),
        ("drn_d_22-4bd2f8ea.pth", "drn_d_22", "https://github.com/fyu/drn"),
        ("moco_v2_800ep_pretrain.pth.tar", "resnet50", "/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar (page: https://"),
        ("vgg16-397923af.pth", "vgg16", "https://download.pytorch.org/models/vgg16-397923af.pth"),
        ("mine.pth", "vgg16", "correct the path"),
    ],
)
def test_a_missing_file_says_where_it_is_to_be_had(tmp_path, monkeypatch, name, network, place):
    monkeypatch.chdir(tmp_path)
    for given, resolved in ((f"weights/{name}", f" ({tmp_path / 'weights' / name})"), (str(tmp_path / name), "")):
        with pytest.raises(UsodError) as error:
            describe_weights(NetworkConfig(name=network, weights=given))
        message = one_line(error)
        assert message.startswith(f"weights: there is no file {given}{resolved}; ") and place in message
        assert message.endswith("or set `weights: none`")


def test_every_name_of_torchvision_has_its_address_digest_and_size():
    for network, entry in BACKBONES.items():
        for name in entry.weights:
            theirs = torchvision.models.get_model_weights(network)[name]
            ours = torchvision_weights(network, name)
            assert where_from(theirs.url) == f"{theirs.url} (torchvision)"
            assert (ours.url, ours.megabytes) == (theirs.url, round(theirs.meta["_file_size"]))
            assert ours.sha256 == Path(ours.file).stem.rpartition("-")[2]
    assert where_from("model.safetensors") is None


def test_torchvision_name_reads_the_cached_file_and_checks_it(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cached = tmp_path / "checkpoints" / "mobilenet_v2-7ebf99e0.pth"
    cached.parent.mkdir()
    twin = torchvision.models.mobilenet_v2(weights=None)
    torch.save(twin.state_dict(), cached)
    config = NetworkConfig(name="mobilenet_v2", weights="IMAGENET1K_V2")
    with pytest.raises(UsodError, match="delete it and run again"):
        describe_weights(config)
    digest = hashlib.sha256(cached.read_bytes()).hexdigest()
    known = replace(torchvision_weights("mobilenet_v2", "IMAGENET1K_V2"), sha256=digest[:8])
    monkeypatch.setattr("usod.models.sources.PUBLISHED", (known,))
    backbone = build_backbone(config)
    load_weights(backbone, config)
    assert_same_backbone(backbone, twin)
    described = {"name": "mobilenet_v2.IMAGENET1K_V2", "sha256": digest, "labels": "ImageNet"}
    assert describe_weights(config) == described
    # DEFAULT is said to be what it is.
    assert describe_weights(NetworkConfig(name="mobilenet_v2", weights="DEFAULT")) == described
    # The same file given by its path is recognised by its digest.
    by_path = NetworkConfig(name="mobilenet_v2", weights=str(cached))
    assert describe_weights(by_path)["labels"] == "ImageNet"


def test_none_loads_nothing():
    backbone = MobileNetV2()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    assert fill(backbone, "none").matched == ()
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
    assert describe_weights(NetworkConfig(name="mobilenet_v2")) == {"name": "none", "sha256": "", "labels": "none"}
