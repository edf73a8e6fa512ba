"""What A2S's Figs. 5, 7 and 11 show, through the verbs of `usod report`."""

import numpy as np
import pytest
import torch
from PIL import Image

from usod.cli import app
from usod.data.mapstore import ImageStore, write_images, write_maps
from usod.errors import UsageError
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.model_file import save_model
from usod.reporting import figures
from usod.systems.a2s import activation_network

IDS, SIZE = ["a", "b", "c"], (64, 64)
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
NETWORK = NetworkConfig(light_width=8)


@pytest.fixture
def folder(tmp_path):
    """Three images with their masks, images.h5 and masks.csv."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    with write_images(tmp_path / "images.h5", IDS, SIZE, np.full((3, 2), 64), ATTRIBUTES) as rows:
        for number, key in enumerate(IDS):
            rows[key] = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            Image.new("RGB", SIZE, (50 * number, 0, 0)).save(tmp_path / f"images/{key}.png")
            mask = np.zeros(SIZE, np.uint8)
            mask[: 8 * (number + 1)] = 255
            Image.fromarray(mask).save(tmp_path / f"masks/{key}.png")
    app(["data", "masks", str(tmp_path), "--out", str(tmp_path / "masks.csv")], standalone_mode=False)
    return tmp_path


def drawn(monkeypatch, *call):
    """What a verb gives to `stages_figure`: images, columns, names of the rows."""
    found = []

    def record(images, columns, row_names=None):
        found[:] = images, columns, row_names
        return draw(images, columns, row_names)

    draw = figures.stages_figure
    monkeypatch.setattr(figures, "stages_figure", record)
    app(["report", *map(str, call)], standalone_mode=False)
    return found


def test_watched_images_of_two_trainings_have_a_line_each(folder, monkeypatch):
    """Fig. 7: mask, pseudo-label, then the epochs."""
    watched = ["a", "c"]
    for run, name in enumerate(("without", "with")):
        ids = [f"{epoch:03d}/{key}" for epoch in range(4) for key in watched]
        with write_maps(folder / f"{name}.h5", ids, (2, 2), np.full((8, 2), 64), ATTRIBUTES) as rows:
            for number, key in enumerate(ids):
                rows[key] = np.full((2, 2), (8 * run + number) / 20)
    with write_maps(folder / "label.h5", IDS, (2, 2), np.full((3, 2), 64), ATTRIBUTES) as rows:
        for number, key in enumerate(IDS):
            rows[key] = np.full((2, 2), number / 2)
    given = ["--images", folder / "images.h5", "--beside", f"label={folder / 'label.h5'}", "--epochs", 2]
    given += [f"--maps={name}={folder / name}.h5" for name in ("without", "with")]
    images, columns, names = drawn(
        monkeypatch, "watched", *given, "--masks", folder / "masks.csv", "--out", folder / "f.png"
    )
    assert names == ["without", "with"] * 2 and list(columns) == ["mask", "label", "before", "epoch 3"]
    assert [mask.mean() for mask in columns["mask"]] == [0.125, 0.125, 0.375, 0.375]
    assert [label[0, 0] for label in columns["label"]] == [0, 0, 1, 1]
    last = [(8 * run + 6 + image) / 20 for image in (0, 1) for run in (0, 1)]
    assert [look[0, 0] for look in columns["epoch 3"]] == pytest.approx(last, abs=0.01)
    with ImageStore(folder / "images.h5") as store:
        assert np.array_equal(images[2], store["c"])


def test_thresholds_cut_activations_before_the_training(folder, monkeypatch):
    """Fig. 5, worked out with NumPy for the mean and the median."""
    given = ["--images", folder / "images.h5", "--network", NETWORK.model_dump_json(), "--masks", folder / "masks.csv"]
    images, columns, _ = drawn(monkeypatch, "thresholds", *given, "--count", 1, "--seed", 3, "--out", folder / "f.png")
    assert list(columns) == ["otsu", "mean", "median", "mask"] and len(images) == 1
    torch.manual_seed(3)
    network = activation_network(NETWORK).eval()
    theta = network(network.as_input(torch.from_numpy(images[0])[None])).detach().numpy()[0, 0]
    assert (columns["mean"][0] == (theta >= theta.mean())).mean() > 0.999
    assert columns["median"][0].mean() == pytest.approx(0.5, abs=0.001)


def test_features_of_the_rams_stand_below_each_other(folder, monkeypatch):
    """Fig. 11: image, truth and map beside R_l, R_r and R_l * R_r; without the head there is nothing to see."""
    for head in ("ram", "skip"):
        network = build_network(NetworkConfig(light_width=8, head=head))
        save_model(folder / f"{head}.safetensors", network, network.config, ATTRIBUTES, input_size=SIZE)
    given = ["--images", folder / "images.h5", "--masks", folder / "masks.csv", "--out", folder / "f.png"]
    first, columns, names = drawn(
        monkeypatch, "rams", folder / "ram.safetensors", *given, "--count", 1, "--channels", 4
    )
    assert names == ["local", "regional", "product"] and list(columns) == ["1", "2", "3", "4"]
    assert (first[1][..., 0] == 255).mean() == 0.125 and first[2].std() > 0
    for column in columns.values():
        assert [(part.min(), part.max()) for part in column] == [(0, 1)] * 3
    with pytest.raises(UsageError, match="has the head skip; give a model with head: ram"):
        app(["report", "rams", str(folder / "skip.safetensors"), *map(str, given)], standalone_mode=False)
