import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

import usod
from usod.errors import UsodError
from usod.evaluation.benchmark import MEASURES
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import save_model
from usod.reporting.model_card import model_card

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
from usod.inference.export import export_onnx  # noqa: E402


@pytest.fixture
def model(tmp_path):
    def make(**config):
        settings = NetworkConfig(light_width=8, **config)
        torch.manual_seed(1)
        network = build_network(settings)
        save_model(tmp_path / "model.safetensors", network, settings, input_size=64)
        return tmp_path / "model.safetensors", network.eval()

    return make


@pytest.mark.parametrize("head", ["skip", "ram", "relation"])
def test_an_exported_network_gives_the_same_maps_at_any_batch_and_size(model, tmp_path, head):
    path, network = model(head=head)
    assert export_onnx(path, tmp_path / "model.onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["mean"] == "[0.485, 0.456, 0.406]"
    for shape in ((1, 3, 64, 64), (2, 3, 128, 96)):
        image = torch.randn(shape)
        prior = torch.rand(shape[0], 1, *shape[2:])
        prior[..., :16, :16] = 1
        inputs = {"image": image.numpy()} | ({"prior": prior.numpy()} if head == "relation" else {})
        (found,) = session.run(["saliency"], inputs)
        with torch.no_grad():
            if head == "relation":
                new = network(image, prior).sigmoid()
                sure = (new - 0.5).abs() >= (prior - 0.5).abs()
                expected = torch.where(sure, new, prior)
            else:
                expected = network(image).sigmoid()
        assert found.shape == (shape[0], 1, *shape[2:]) and np.abs(found - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_ldps_as_onnx_refines_as_its_command_does(model, tmp_path, variant):
    """Image and prior in, the merged map out; a prior that is nowhere certain comes back as it was."""
    from usod.systems.ldps import Refiner

    path, network = model(head={"name": "relation", "variant": variant})
    export_onnx(path, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["image", "prior"]
    rng = np.random.default_rng(0)
    images, priors = rng.integers(0, 256, (2, 64, 96, 3), np.uint8), rng.random((2, 64, 96), np.float32) * 0.8
    priors[0, :16, :16] = 1
    inputs = {"image": network.as_input(torch.from_numpy(images)).numpy(), "prior": priors[:, None]}
    (found,) = session.run(["saliency"], inputs)
    assert np.abs(found[:, 0] - Refiner(network).refine(images, priors)).max() < 1e-4
    assert np.array_equal(found[1, 0], priors[1]) and not np.array_equal(found[0, 0], priors[0])


@pytest.mark.parametrize(
    ("name", "head", "size"),
    [("timm/test_vit", "patch", None), ("timm/test_vit", "guided", 96), ("timm/test_resnet", "patch", None)],
)
def test_a_frozen_network_is_exported_at_its_own_size_with_its_encoder(tmp_path, name, head, size):
    weights = tmp_path / "w.safetensors"
    torch.manual_seed(1)
    save_file(build_network(NetworkConfig(name=name)).backbone.state_dict(), weights)
    settings = NetworkConfig(name=name, weights=str(weights), frozen=True, head=head, features={"size": size})
    network = build_network(settings).eval()
    save_model(tmp_path / "model.safetensors", network, settings, input_size=64)
    assert export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        image = torch.randn(batch, 3, 64, 64)
        (found,) = session.run(["saliency"], {"image": image.numpy()})
        with torch.no_grad():
            assert np.abs(found - network(image).sigmoid().numpy()).max() < 1e-4
    assert export_onnx(tmp_path / "model.safetensors", tmp_path / "rembg.onnx", rembg=True) < 1e-4


@pytest.mark.parametrize("normalisation", ["imagenet", "cityscapes"])
def test_rembg_gives_the_map_that_we_predict(tmp_path, normalisation):
    rembg = pytest.importorskip("rembg", reason="rembg is not installed")
    settings = NetworkConfig(light_width=8, normalisation=normalisation)
    torch.manual_seed(1)
    save_model(tmp_path / "model.safetensors", build_network(settings), settings, input_size=128)
    export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx", rembg=True)
    session = rembg.new_session("u2net_custom", model_path=str(tmp_path / "model.onnx"))
    y, x = np.mgrid[:240, :320]
    image = np.stack([255 * ((y - 120) ** 2 + (x - 90) ** 2 < 2500), x * 0.7, y * 0.9], -1).astype(np.uint8)
    found = np.asarray(rembg.remove(Image.fromarray(image), session=session, only_mask=True)) / 255
    expected = usod.load(tmp_path / "model.safetensors", "cpu").predict(image)
    expected = (expected - expected.min()) / (expected.max() - expected.min())  # what rembg does to every map
    assert found.shape == image.shape[:2] and np.abs(found - expected).mean() < 0.03
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_the_card_says_what_the_network_learnt_from_and_scores(model, tmp_path):
    path, _ = model()
    score = dict.fromkeys(MEASURES, 0.5) | {"n": 7, "f_fixed": 0.8123}
    (tmp_path / "s.json").write_text(json.dumps(score))
    index = pd.DataFrame({"id": range(12), "split_from": "train.txt", "rights": [*7 * ["CC0"], *5 * ["Ann"]]})
    card = model_card(path, {"ECSSD": tmp_path / "s.json"}, {"photos": index})
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "usod" and "unsupervised" in head["tags"]
    assert (
        "| ECSSD | 7 | 81.23 |" in card
        and "Working size 64x64" in card
        and "12 images of photos (split: train.txt). Rights: 7 CC0, 5 Ann." in card
    )
    assert "minus 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225" in card
    (headings,) = [line.split(" | ") for line in card.splitlines() if line.startswith("| Data set | Images | ")]
    assert [word.strip(" |") for word in headings if "↑" not in word] == ["Data set", "Images", "MAE ↓"]
    assert f"| --- |{len(headings[1:]) * ' ---: |'}\n| ECSSD " in card
    assert f"| torch | {torch.__version__.partition('+')[0]}" in card
    settings = NetworkConfig(light_width=8)
    save_model(path, build_network(settings), settings, input_size=64, extra={"labels": "masks"})
    card = model_card(path)
    assert "masks. It was trained from scratch." in card and "None were measured" in card
    assert "unsupervised" not in yaml.safe_load(card.split("---")[1])["tags"]


def test_a_graph_that_gives_other_maps_is_not_written(model, tmp_path, monkeypatch):
    class Inexact(onnxruntime.InferenceSession):
        def run(self, *arguments):
            return [values + np.float32(2e-4) for values in super().run(*arguments)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Inexact)
    with pytest.raises(UsodError, match=r"differ by 0\.0002 from PyTorch's; not written"):
        export_onnx(model()[0], tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_missing_model_is_one_line_and_nothing_is_written(tmp_path):
    with pytest.raises(UsodError, match=r"none.safetensors: there is no such model file"):
        export_onnx(tmp_path / "none.safetensors", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
