import numpy as np
import pytest

from usod.data.mapstore import MapStore, open_maps, write_map, write_maps
from usod.human_labels import join, of_inputs
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import load_model, save_model
from usod.provenance import describe


@pytest.fixture
def folder(tmp_path):
    """Files of every kind: with labels, without, from elsewhere, damaged."""

    def store(name, attributes):
        with write_maps(tmp_path / name, ["a"], (4, 4), np.array([[4, 4]]), attributes) as rows:
            rows["a"] = np.zeros((4, 4), np.float32)

    for name in ("tags.csv", "masks.csv", "index.csv"):
        (tmp_path / name).write_text("id\n")
    store("handcrafted.h5", describe({}, {"index": tmp_path / "index.csv"}))
    store("old.h5", {"config": {}})
    store("tagged.h5", describe({}, {"images": tmp_path / "handcrafted.h5", "tags": tmp_path / "tags.csv"}))
    write_map(tmp_path / "theirs/a.png", np.zeros((4, 4)))
    (tmp_path / "broken.h5").write_bytes(b"no store")
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    config = NetworkConfig(name="light", light_width=8)
    origin = describe({}, {"labels": tmp_path / "tagged.h5"})
    save_model(tmp_path / "network.safetensors", build_network(config), config, origin, input_size=32)
    return tmp_path


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        ({"index": "index.csv", "maps": "handcrafted.h5"}, "none"),
        ({"maps": "tagged.h5"}, "image tags"),
        ({"model": "network.safetensors", "prior": "handcrafted.h5"}, "image tags"),
        ({"masks": "masks.csv", "rbd": "tagged.h5"}, "masks+image tags"),
        ({"prior": "theirs"}, "unknown"),
        ({"maps": "old.h5"}, "unknown"),
        ({"maps": "broken.h5", "model": "broken.safetensors"}, "unknown"),
    ],
)
def test_what_is_made_inherits_the_labels_of_all_that_it_is_made_from(folder, inputs, labels):
    assert of_inputs({name: folder / file for name, file in inputs.items()}) == labels


def test_a_file_says_its_labels(folder):
    assert MapStore(folder / "tagged.h5").labels == load_model(folder / "network.safetensors")[1]["labels"]
    assert open_maps(folder / "theirs").labels == "unknown"


def test_labels_are_named_once():
    assert join("none", "none") == join() == "none"
    assert join("ImageNet classes", "none", "image tags+ImageNet classes") == "ImageNet classes+image tags"
