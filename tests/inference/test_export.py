import numpy as np
import pytest
import torch

from usod.errors import UsodError
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import save_model

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


def test_a_missing_model_is_one_line_and_nothing_is_written(tmp_path):
    with pytest.raises(UsodError, match=r"none.safetensors: there is no such model file"):
        export_onnx(tmp_path / "none.safetensors", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
