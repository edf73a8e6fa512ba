"""Distillation: its loss by hand, what is kept of it, and its rounds as the workflow plans them."""

import subprocess

import numpy as np
import pytest
import torch

from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.inference.predict import Model, predict_store
from usod.models.config import NetworkConfig
from usod.models.model_file import load_model
from usod.provenance import describe
from usod.systems import distil
from usod.systems.distil import Distillation
from usod.systems.distil_settings import LearnConfig, StudentConfig
from usod.training.parallel import Process
from usod.training.views import View
from usod.training.weight_average import WeightAverage

from .. import forked

CPU = torch.device("cpu")
NETWORK = NetworkConfig(light_width=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve images of 48x48 with a bright half, and that half as their label."""
    folder = tmp_path_factory.mktemp("distil")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 90, (12, 48, 48, 3)).astype(np.uint8), np.zeros((12, 48, 48), np.uint8)
    for row in range(12):
        labels[row, :, 24 * (row % 2) : 24 * (row % 2 + 1)] = 200
    images[labels > 0] += 150
    ids, sizes, attributes = [f"i{i}" for i in range(12)], np.full((12, 2), 48), describe({}, {}) | {"created_by": "t"}
    with write_images(folder / "images.h5", ids, (48, 48), sizes, attributes) as rows:
        rows.fill(images)
    with write_maps(folder / "maps.h5", ids, (48, 48), sizes, attributes) as rows:
        rows.fill(labels)
    return folder


def test_the_loss_is_one_minus_iou_and_weighted_cross_entropy():
    labels = np.array([[[255, 200], [100, 0]]], np.uint8)
    p = torch.tensor([[[0.8, 0.6], [0.4, 0.1]]])

    def loss(**settings):
        objective = Distillation(labels, LearnConfig(**settings))
        # Mirrored: the network sees the label mirrored, too.
        seen = objective.read(p.logit()[:, None].flip(-1), View(torch.tensor([True])))
        return objective.loss(seen, torch.tensor([0])).item()

    iou = (0.8 + 0.6) / (0.8 + 0.6 + 0.4 + 0.1 + 2 - 1.4)
    assert loss() == pytest.approx(1 - iou, abs=1e-5)
    entropy = -np.log([0.8, 0.6, 0.6, 0.9]).mean()
    assert loss(cross_entropy=0.5) == pytest.approx(1 - iou + 0.5 * entropy, abs=1e-5)
    t = labels[0] / 255
    overlap = (p[0].numpy() * t).sum()
    assert loss(binary=False) == pytest.approx(1 - overlap / (p.sum().item() + t.sum() - overlap), abs=1e-5)


def test_a_pixel_that_is_wrong_beyond_doubt_is_still_learnt():
    """The sigmoid of 30 is 1 in float32: only the cross entropy of logits has a gradient, 1 / 4, there."""
    logits = torch.tensor([[[[30.0, 0.0], [0.0, 0.0]]]], requires_grad=True)
    objective = Distillation(np.zeros((1, 2, 2), np.uint8), LearnConfig(cross_entropy=1))
    objective.loss(objective.read(logits, View(torch.tensor([False]))), torch.tensor([0])).sum().backward()
    assert logits.grad[0, 0, 0, 0].item() == pytest.approx(0.25, abs=1e-4)


def test_a_network_learns_its_labels(data):
    with ImageStore(data / "images.h5") as images, MapStore(data / "maps.h5") as labels:
        settings = LearnConfig(epochs=30, min_steps=0, batch_size=4, lr=1e-2)
        done = distil.learn(images, labels, settings, NETWORK, Process(CPU))
    assert done.history[-1]["loss"] < 0.3 * done.history[0]["loss"]


def test_few_images_are_learnt_for_more_epochs(data, monkeypatch):
    seen = []
    monkeypatch.setattr(distil, "fit", lambda *arguments: seen.append((len(arguments[2]), arguments[5])) or [])
    with ImageStore(data / "images.h5") as images, MapStore(data / "maps.h5") as labels:
        distil.learn(images, labels, LearnConfig(epochs=2, min_steps=30, batch_size=4), NETWORK, Process(CPU))
    ((count, schedule),) = seen
    assert (schedule.epochs - 1) * -(-count // 4) < 30 <= schedule.epochs * -(-count // 4)


def test_a_student_works_at_the_size_that_it_was_shown(data, tmp_path):
    settings = '{"epochs": 1, "min_steps": 0, "size": 32, "augment": {}}'
    command = ["distil", "learn", "--student", "--images", data / "images.h5", "--labels", data / "maps.h5"]
    command += ["--network", '{"light_width": 8}', "--config", settings, "--work", "none", "--device", "cpu"]
    command += ["--out", tmp_path / "m.safetensors", "--history", tmp_path / "h.csv"]
    subprocess.run([forked.command(), *map(str, command)], check=True)
    model = Model(tmp_path / "m.safetensors", "cpu")
    assert model.size == 32
    predict_store(model, tmp_path / "m.safetensors", data / "images.h5", tmp_path / "maps.h5", batch=4)
    with MapStore(tmp_path / "maps.h5") as maps:
        assert maps.size == (48, 48)


def test_what_a_student_is_shown_changes_what_it_learns(data):
    def losses(**settings):
        settings = StudentConfig(epochs=2, min_steps=0, batch_size=4, **settings)
        with ImageStore(data / "images.h5") as images, MapStore(data / "maps.h5") as labels:
            done = distil.learn(images, labels, settings, NETWORK, Process(CPU))
        return tuple(row["loss"] for row in done.history)

    assert losses() == losses(), "what differs below is not chance"
    assert len({losses(), losses(augment={}), losses(augment={"colour": 0}), losses(size=32)}) == 4


def test_the_average_of_the_weights_by_hand():
    from usod.models.build import build_network

    network = build_network(NETWORK)
    average = WeightAverage(network, 0.5)
    weight = network.head.classify.bias
    expected = weight.item()
    for step, value in enumerate([1.0, 5.0, -2.0]):
        with torch.no_grad():
            weight.fill_(value)
        average.update()
        keep = min(0.5, step / (step + 9))
        expected = keep * expected + (1 - keep) * value
    assert weight.item() == -2
    average.apply()
    assert weight.item() == pytest.approx(expected)


def test_a_resume_goes_on_with_the_average(data, tmp_path, monkeypatch):
    """The averaged weights are what is kept; a training that was stopped ends with the same ones."""
    from usod.training.checkpoint import Checkpoint

    settings = LearnConfig(epochs=4, min_steps=0, batch_size=4, lr=3e-3, average=0.9)

    def train(work):
        with ImageStore(data / "images.h5") as images, MapStore(data / "maps.h5") as labels:
            return distil.learn(images, labels, settings, NETWORK, Process(CPU), work=work).network.state_dict()

    whole, save, saved = train(None), Checkpoint.save, []

    def stops(self, state):
        save(self, state)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stops)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "work")
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed = train(tmp_path / "work")
    assert all(torch.equal(value, whole[key]) for key, value in resumed.items())
    plain = LearnConfig(epochs=4, min_steps=0, batch_size=4, lr=3e-3)
    with ImageStore(data / "images.h5") as images, MapStore(data / "maps.h5") as labels:
        last = distil.learn(images, labels, plain, NETWORK, Process(CPU)).network.state_dict()
    assert any(not torch.equal(value, whole[key]) for key, value in last.items())


def test_one_command_trains_a_round(data, tmp_path):
    call = [forked.command(), "distil", "learn", "--images", data / "images.h5"]
    call += ["--labels", data / "maps.h5", "--network", '{"light_width": 8}', "--history", tmp_path / "h.csv"]
    done = [*call, "--config", '{"epochs": 1, "min_steps": 0}', "--out", tmp_path / "m.safetensors"]
    subprocess.run(done, check=True)
    _, header = load_model(tmp_path / "m.safetensors")
    assert header["input_size"] == [48, 48] and header["extra"]["config"]["learn"]["lr"] == 1e-3
    subprocess.run([*done, "--student"], check=True)
    _, header = load_model(tmp_path / "m.safetensors")
    assert header["extra"]["config"]["learn"]["lr"] == 1e-4
