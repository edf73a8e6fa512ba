"""A2S-v2 and A2S-v3: what their settings make of A2S's two stages."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.filters import threshold_otsu
from torch.nn import functional

from usod.cli import app
from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.errors import UsageError, UsodError
from usod.models.config import NetworkConfig
from usod.models.model_file import load_model
from usod.models.saliency_net import SaliencyNet
from usod.settings.config import parse_config
from usod.settings.sections import parse_section
from usod.systems import a2s
from usod.systems.a2s import Distilling, RefinedRectification
from usod.systems.a2s_labels import as_certain, pseudo_labels
from usod.systems.a2s_settings import ActivationConfig, PseudoLabelConfig, RectifyConfig
from usod.training.a2s_losses import iou_loss
from usod.training.parallel import Process
from usod.training.pixel_adaptive import refine
from usod.training.scales import Seen
from usod.training.texture_matching import distilling_loss, texture_loss

CPU = torch.device("cpu")
NETWORK = NetworkConfig(light_width=8)
DETECTOR = NetworkConfig(light_width=8, head="ram")
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
CSD = {"loss": "csd", "lr": 0.02, "nesterov": False, "lr_decay": "linear", "lr_every": "step", "batch_size": 4}
LABELS = {"threshold": "otsu", "confidence": 0.7, "crf": {"bilateral_sxy": 8}, "median": 3}
STAGE1 = CSD | {"epochs": 3, "random_encoder": True, "csd": {"uncertain": 0.2, "scales": [0.7, 1.3]}}
STAGE2 = {"loss": "iou", "epochs": 4, "lr": 3e-3, "batch_size": 4, "keep": 0.2, "untouched_epochs": 1}
STAGE2 |= {"second_scale": {"scales": [0.7, 1.3]}, "refinement": {"dilations": [1, 2], "iterations": 2}}
ROWS = torch.tensor([1, 0])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Bright discs on dark ground, 45 x 52, and labels of them of which every third lacks a half."""
    folder = tmp_path_factory.mktemp("a2s")
    rng = np.random.default_rng(0)
    ids, size = [f"i{i}" for i in range(10)], (45, 52)
    y, x = np.mgrid[:45, :52]
    masks = [(y - cy) ** 2 + (x - cx) ** 2 < r**2 for cy, cx, r in rng.uniform((14, 14, 8), (32, 38, 12), (10, 3))]
    arguments = (ids, size, np.full((10, 2), size), ATTRIBUTES)
    with write_images(folder / "images.h5", *arguments) as rows:
        for key, mask in zip(ids, masks, strict=True):
            image = np.where(mask[..., None], (220, 180, 60), (40, 60, 70)) + rng.normal(0, 12, (*size, 3))
            rows[key] = image.clip(0, 255).astype(np.uint8)
    with write_maps(folder / "labels.h5", *arguments) as rows:
        for number, (key, mask) in enumerate(zip(ids, masks, strict=True)):
            rows[key] = mask * np.where((x > 26) & (number % 3 == 0), 0.0, 1.0)
    return folder


def seen():
    torch.manual_seed(0)
    sizes = ((40, 44), (28, 31))
    return [Seen(torch.rand(2, *size).logit(), torch.rand(2, 3, *size)) for size in sizes]


def test_the_loss_of_stage_1_is_that_of_two_sizes_and_their_difference():
    config = ActivationConfig(loss="csd", epochs=20, csd={"uncertain": 0.2, "texture": {"weight": 0.07}})
    objective, (first, second) = Distilling(config), seen()
    for epoch, band in ((1, 0.17), (7, 0.0)):
        objective.begin(epoch)
        expected = sum(
            distilling_loss(view.map, epoch, 20, band) + 0.07 * texture_loss(view.map, view.image)
            for view in (first, second)
        )
        there = functional.interpolate(second.map[:, None], (40, 44), mode="bilinear")[:, 0]
        expected = expected + ((first.map - there) ** 2).mean((1, 2))
        torch.testing.assert_close(objective.loss([first, second], ROWS), expected)
    alone = Distilling(ActivationConfig(loss="csd", csd={"texture": {"weight": 0}, "scales": []}))
    torch.testing.assert_close(alone.loss([first], ROWS), distilling_loss(first.map, 1, 20))


def test_textures_are_those_of_colours_with_imagenets_deviation():
    config = ActivationConfig(loss="csd", csd={"scales": []})
    (first, _), half = seen(), torch.tensor([0.229, 0.224, 0.225]) / 2
    other = Distilling(config, std=half.tolist()).loss([Seen(first.logits, first.image * 2)], ROWS)
    torch.testing.assert_close(other, Distilling(config).loss([first], ROWS))


def test_otsu_makes_the_labels_that_the_crf_starts_from():
    torch.manual_seed(0)
    maps = torch.cat([torch.rand(2, 20, 6) * 0.2 + 0.7, torch.rand(2, 20, 14) * 0.3], 2)
    maps[1, :2] = 0.5
    for found, row in zip(as_certain(maps, 0.7, otsu=True), maps.numpy(), strict=True):
        assert np.array_equal(found.numpy() == np.float32(0.7), row > threshold_otsu(row))
    assert as_certain(torch.full((1, 4, 4), 0.9), 0.7, otsu=True).unique().item() == pytest.approx(0.3)


def test_without_a_crf_otsus_labels_are_the_pseudo_labels(data):
    torch.manual_seed(0)
    pixels = ImageStore(data / "images.h5").read_all()[:3]
    network = a2s.activation_network(NETWORK, ActivationConfig(loss="csd")).eval()
    config = PseudoLabelConfig(threshold="otsu", confidence=0.7, crf=None, median=1)
    maps = network(network.as_input(torch.from_numpy(pixels))).sigmoid()[:, 0].detach().numpy()
    expected = np.stack([row > threshold_otsu(row) for row in maps])
    assert np.array_equal(np.stack(list(pseudo_labels(network, pixels, pixels.shape[1:3], config))), expected)
    assert not np.array_equal(expected, maps > 0.5)


def test_a_frozen_encoder_may_follow_the_statistics_of_its_batches(tmp_path):
    """Its weights stay; with A2S's settings its statistics, too."""
    from safetensors.torch import save_file

    from usod.models.build import build_backbone

    name = {"name": "mobilenet_v2", "output_stride": 32}
    save_file(build_backbone(NetworkConfig(**name)).state_dict(), tmp_path / "w.safetensors")
    network = NetworkConfig(**name, weights=str(tmp_path / "w.safetensors"))
    for follows in (False, True):
        net = a2s.activation_network(network, ActivationConfig(loss="csd", batch_statistics=follows))
        before = {k: v.clone() for k, v in net.backbone.state_dict().items()}
        net.train()(torch.rand(2, 3, 64, 64)).sum().backward()
        moved = {k.rpartition(".")[2] for k, v in net.backbone.state_dict().items() if not torch.equal(v, before[k])}
        assert moved == ({"running_mean", "running_var", "num_batches_tracked"} if follows else set())
        assert all(parameter.grad is None for parameter in net.backbone.parameters())
        assert net.head.fuse.gate.weight.grad is not None


def test_a_label_becomes_shares_of_itself_the_prediction_and_the_refined_one(monkeypatch):
    """Nothing in the first epoch, in which nothing is refined, then 0.2 G + 0.7 Y + 0.1 PAR(Y) as in A2S-v3's code."""
    config = RectifyConfig(loss="iou", keep=0.2, refinement={"weight": 0.1}, untouched_epochs=1)
    start = np.zeros((2, 40, 44), np.uint8)
    start[1, 10:30, 10:30] = 255
    objective, (first, _) = RefinedRectification(start, config), seen()
    label = torch.from_numpy(start[[1, 0]]).float() / 255
    for epoch in range(3):
        monkeypatch.setattr(a2s, "refine", refine if epoch else None)
        objective.remember(objective.observe([first], ROWS), ROWS)
        if epoch:
            label = 0.2 * label + 0.7 * first.map + 0.1 * refine(first.map, first.image)
        torch.testing.assert_close(objective.average.average[ROWS].float(), label, atol=2e-3, rtol=0)


def test_the_second_size_learns_the_label_and_what_the_first_says():
    config = RectifyConfig(loss="iou", second_scale={"weight": 0.5, "agreement": 2.0})
    labels = np.random.default_rng(0).integers(0, 2, (2, 40, 44), np.uint8) * 255
    objective, views = RefinedRectification(labels, config), seen()
    logits = views[0].logits.requires_grad_()
    first, second = (view.map for view in views)
    label = torch.from_numpy(labels[[1, 0]]).float()[:, None] / 255
    small = functional.interpolate(label, (28, 31), mode="nearest")[:, 0]
    told = functional.interpolate(first[:, None].detach(), (28, 31), mode="bilinear")[:, 0]
    own = iou_loss(first, label[:, 0])
    expected = own + 0.5 * iou_loss(second, small) + 2 * ((second - told) ** 2).mean((1, 2))
    loss = objective.loss(views, ROWS)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(total.sum(), logits, retain_graph=True)[0] for total in (loss, own)]
    torch.testing.assert_close(*gradients)


def test_both_stages_on_the_command_line(data, tmp_path):
    folder = data

    def usod(verb, stage, settings, network, *more):
        files = {"model": f"{stage}.safetensors"} | ({"labels": f"{stage}.h5"} if verb == "stage2" else {})
        outs = [part for key, name in files.items() for part in (f"--out-{key}", str(tmp_path / name))]
        told = ["--config", json.dumps(settings), "--network", network.model_dump_json(), "--device", "cpu"]
        images, history = ["--images", str(folder / "images.h5")], ["--history", str(tmp_path / f"{stage}.csv")]
        app(["a2s", verb, *images, *told, *outs, *history, "--threads", "1", *more], standalone_mode=False)
        model, _ = load_model(tmp_path / files["model"])
        return MapStore(tmp_path / f"{stage}.h5").read_all() if verb == "stage2" else None, model

    _, model = usod("stage1", "one", STAGE1, NETWORK)
    assert model.config.head.name == "gated"
    Image.fromarray(ImageStore(folder / "images.h5")["i0"]).resize((104, 45)).save(tmp_path / "i0.png")
    index = tmp_path / "index.csv"
    app(["data", "index", str(tmp_path), "--out", str(index)], standalone_mode=False)
    made = ["--index", str(index), "--config", json.dumps(LABELS), "--out", str(tmp_path / "g.h5"), "--device", "cpu"]
    app(["a2s", "labels", str(tmp_path / "one.safetensors"), *made], standalone_mode=False)
    labels = MapStore(tmp_path / "g.h5")
    assert labels.ids == ["i0"] and labels["i0"].shape == (45, 104), "kept at the image's own size"
    assert set(np.unique(labels["i0"])) <= {0, 1}
    loss = pd.read_csv(tmp_path / "one.csv")["loss"]
    assert loss.iloc[-1] < loss.iloc[0]
    variance = tmp_path / "variance.csv"
    files = [
        "--images",
        str(folder / "images.h5"),
        "--model",
        str(tmp_path / "one.safetensors"),
        "--out",
        str(variance),
    ]
    app(["a2s", "variance", *files, "--network", model.config.model_dump_json()], standalone_mode=False)
    assert variance.read_text().count("\n") == 4
    for name, settings in (("v2", {"loss": "iou", "keep": 1, "epochs": 2}), ("v3", STAGE2)):
        rectified, model = usod("stage2", name, settings, DETECTOR, "--labels", str(folder / "labels.h5"))
        given = MapStore(folder / "labels.h5").read_all()
        assert model.config.head.name == "ram" and np.array_equal(rectified, given) == (name == "v2")


def test_a_stopped_training_resumes_to_the_same_labels(data, tmp_path, monkeypatch):
    """The epoch, which the losses depend on, and the sizes drawn are those of the training that was not stopped."""
    images, labels = ImageStore(data / "images.h5"), MapStore(data / "labels.h5")
    one, two = parse_section(ActivationConfig, json.dumps(STAGE1)), parse_section(RectifyConfig, json.dumps(STAGE2))
    trainings = {
        Distilling: lambda work: a2s.stage1(images, one, NETWORK, CPU, work),
        RefinedRectification: lambda work: a2s.stage2(images, labels, two, DETECTOR, Process(CPU), work=work),
    }
    for kind, train in trainings.items():
        work = tmp_path / kind.__name__
        through, begin = train(None), kind.begin

        def stop(objective, epoch, begin=begin):
            if epoch == 3:
                raise KeyboardInterrupt
            begin(objective, epoch)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(kind, "begin", stop)
            train(work)
        again = train(work)
        assert [row["loss"] for row in again.history] == [row["loss"] for row in through.history]
        assert np.array_equal(through.labels, again.labels)
        theirs = again.network.state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in through.network.state_dict().items())


def test_a_prediction_that_is_not_finite_is_told_at_the_end_of_its_epoch(data, monkeypatch):
    images, labels = ImageStore(data / "images.h5"), MapStore(data / "labels.h5")
    forward = SaliencyNet.forward
    monkeypatch.setattr(SaliencyNet, "forward", lambda net, *image, **named: forward(net, *image, **named) * np.nan)
    config = parse_section(RectifyConfig, json.dumps(STAGE2 | {"loss": "detection"}))
    with pytest.raises(UsodError, match="predictions are not finite in epoch 1"):
        a2s.stage2(images, labels, config, DETECTOR, Process(CPU))


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ({"pseudo_labels": {"threshold": "otsu"}}, "a2s.pseudo_labels: threshold: otsu makes hard labels"),
        ({"stage1": {"median": 5}}, "a2s.stage1: median: is now a2s.pseudo_labels.median"),
        ({"stage1": {"csd": {"texture": {"window": 10}}}}, "a2s.stage1.csd.texture.window: must be odd"),
        ({"stage1": {"loss": "bce"}}, "a2s.stage1.loss: must be one of adb, csd, not 'bce'"),
        (
            {"stage1": {"loss": "csd"}, "encoder": {"head": "activation"}},
            "csd is made for the head gated, not activ",
        ),
        ({"stage2": {"keep": 0.9, "refinement": {}}}, "a2s.stage2: refinement.weight: with keep it is more than 1"),
        ({"stage2": {"second_scale": {}}, "detector": {"head": "patch"}}, "a2s.stage2.second_scale: the features"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(stage, line):
    network = {"name": "resnet18", "weights": "DEFAULT", "frozen": "detector" in stage}
    base = {"datasets": {"d": {"root": "x"}}, "train": "d", "systems": ["a2s"], "network": network}
    with pytest.raises(UsageError) as told:
        parse_config(base | {"a2s": stage})
    assert line in str(told.value) and "\n" not in str(told.value)
