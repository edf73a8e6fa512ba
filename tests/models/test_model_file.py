import json

import pytest
import safetensors.torch
import torch

from usod.errors import UsodError
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import load_model, save_model
from usod.models.stages import NORMALISATIONS


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    config = NetworkConfig(light_width=8)
    network = build_network(config)
    path = tmp_path / "out" / "model.safetensors"
    save_model(path, network, config, {"seed": 7, "inputs": {"maps": "ab12"}}, input_size=128)
    return network, config, path


def test_round_trip(model):
    network, config, path = model
    again, metadata = load_model(path)
    image = torch.randn(1, 3, 48, 40)
    with torch.no_grad():
        assert torch.equal(again(image), network.eval()(image))
    assert not again.training
    assert NetworkConfig.model_validate(metadata["config"]) == again.config == config
    assert metadata["input_size"] == [128, 128]
    assert (tuple(metadata["mean"]), tuple(metadata["std"])) == NORMALISATIONS["imagenet"]
    assert metadata["extra"] == {"seed": 7, "inputs": {"maps": "ab12"}}
    assert metadata["weights"] == {"name": "none", "sha256": "", "labels": "none"}
    assert metadata["labels"] == "none"
    assert torch.__version__.startswith(metadata["versions"]["torch"])


def test_the_same_network_gives_the_same_bytes(model, tmp_path):
    network, config, path = model
    extra = {"inputs": {"maps": "ab12"}, "seed": 7}
    save_model(
        tmp_path / "again.safetensors",
        torch.nn.DataParallel(torch.compile(network)),
        config,
        extra,
        input_size=(128, 128),
    )
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_model_with_frozen_pretrained_weights_opens_where_those_are_absent(model, tmp_path):
    config = NetworkConfig(name="mobilenet_v2", weights=str(tmp_path / "w.pth"), freeze_batchnorm=True)
    torch.save(build_network(NetworkConfig(name="mobilenet_v2")).backbone.state_dict(), tmp_path / "w.pth")
    network = build_network(config)
    (tmp_path / "w.pth").unlink()
    save_model(tmp_path / "m.safetensors", network, config, extra={"labels": "masks"})
    again, metadata = load_model(tmp_path / "m.safetensors")
    assert again.weights == network.weights == metadata["weights"]
    assert metadata["weights"]["name"] == "w.pth"
    assert metadata["labels"] == "unknown+masks"
    assert not again.train().backbone.features[0][1].training


def test_only_saliency_networks_are_saved(tmp_path):
    with pytest.raises(TypeError, match="takes a SaliencyNet, not Linear"):
        save_model(tmp_path / "model.safetensors", torch.nn.Linear(1, 1), NetworkConfig())


def header_of(path):
    with safetensors.safe_open(path, "pt") as file:
        return json.loads(file.metadata()["usod_model"])


def test_bad_files_are_one_line_with_their_name(model, tmp_path):
    network, _, path = model
    whole = path.read_bytes()
    tensors = network.state_dict()
    bad = tmp_path / "bad.safetensors"

    def refused(message):
        with pytest.raises(UsodError, match=message) as error:
            load_model(bad)
        assert str(error.value).startswith(str(bad))
        assert "\n" not in str(error.value)

    refused("no such model file")
    for content in (b"", b"PK\x03\x04 a zip", whole[:100], whole[:-5], whole[: len(whole) // 2]):
        bad.write_bytes(content)
        refused("not a whole model file")
    safetensors.torch.save_file(tensors, bad)
    refused("not a usod model")
    for change, message in (
        ({"version": 2}, "version 2, this usod reads 1"),
        ({"config": {"name": "vgg"}}, "do not fit"),
        ({"config": {"name": "light", "light_width": 16}}, "do not fit"),
    ):
        header = header_of(path) | change
        safetensors.torch.save_file(tensors, bad, metadata={"usod_model": json.dumps(header)})
        refused(message)
