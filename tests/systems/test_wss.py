import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from usod.cli import app
from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.errors import UsageError, UsodError
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.fin import Tagged
from usod.models.model_file import load_model, save_model
from usod.models.registry import FinOptions
from usod.settings.sections import PretrainConfig, SelfTrainConfig, parse_section
from usod.systems.wss import bootstrapping_loss, pretrain, selftrain, tagging_loss
from usod.training.fit import new_network
from usod.training.loop import Schedule

CPU = torch.device("cpu")
NETWORK = NetworkConfig(light_width=8)
ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Red or yellow discs on noisy blue ground; the tag is the colour."""
    folder = tmp_path_factory.mktemp("wss")
    rng = np.random.default_rng(0)
    ids, size = [f"i{i}" for i in range(16)], (64, 64)
    y, x = np.mgrid[:64, :64]
    masks, arguments = [], (ids, size, np.full((16, 2), 64), ATTRIBUTES)
    with write_images(folder / "images.h5", *arguments) as rows, write_maps(folder / "labels.h5", *arguments) as labels:
        for number, key in enumerate(ids):
            cy, cx, r = rng.uniform((20, 20, 10), (44, 44, 16))
            mask = np.hypot(y - cy, x - cx) < r
            colour = (210, 60, 50) if number % 2 else (210, 190, 60)
            image = np.where(mask[..., None], colour, (50, 70, 150)) + rng.normal(0, 15, (64, 64, 3))
            rows[key] = image.clip(0, 255).astype(np.uint8)
            labels[key] = mask.astype(np.float32)
            masks.append(mask)
    tags = np.stack([np.arange(16) % 2 == 0, np.arange(16) % 2 == 1], axis=1)
    return ImageStore(folder / "images.h5"), MapStore(folder / "labels.h5"), tags, np.array(masks)


def test_the_pretrainings_loss_by_hand():
    """Scores 0 and log 3 (p = 1/2, 3/4), the first tag present, F = (0.2, 0.4): log 2 + log 4 + lambda * 0.6."""
    prediction = Tagged(torch.tensor([[0.0, np.log(3)]]), torch.tensor([[[0.2, 0.4]]]))
    tags = torch.tensor([[1.0, 0.0]])
    plain = tagging_loss(prediction, tags, PretrainConfig(sparsity=0.1)).item()
    assert plain == pytest.approx(np.log(2) + np.log(4) + 0.06, rel=1e-5)
    weighted = tagging_loss(prediction, tags, PretrainConfig(sparsity=0, negative_weight=0.02)).item()
    assert weighted == pytest.approx(np.log(2) + 0.02 * np.log(4), rel=1e-5)


def test_the_bootstrapping_loss_by_hand():
    """f = 0.8 where the label is 0: its target is 0.05; f = 0.3 where the label is 1: 0.95."""
    found = bootstrapping_loss(torch.tensor([[[0.8, 0.3]]]).logit(), torch.tensor([[[0.0, 1.0]]]), 0.95).item()
    first = -(0.05 * np.log(0.8) + 0.95 * np.log(0.2))
    second = -(0.95 * np.log(0.3) + 0.05 * np.log(0.7))
    assert found == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_pixel_that_is_wrong_beyond_doubt_has_a_gradient():
    """The sigmoid of 30 is 1 in float32."""
    logits = torch.tensor([[[30.0, -30.0]]], requires_grad=True)
    bootstrapping_loss(logits, torch.tensor([[[0.0, 1.0]]])).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[[0.475, -0.475]]]))


def test_tags_are_learnt_and_the_sparsity_darkens_the_map(data):
    images, _, tags, _ = data
    settings = PretrainConfig(epochs=12, batch_size=8, lr=0.05, milestones=[11], sparsity=0)
    free = pretrain(images, tags, settings, NETWORK, CPU)
    sparse = pretrain(images, tags, settings.model_copy(update={"sparsity": 0.3}), NETWORK, CPU)
    assert free.history[-1]["loss"] < 0.35 * free.history[0]["loss"]
    assert (free.network.config.head.classes, free.network.config.head.name) == (2, "tags")
    inputs = torch.from_numpy(images.read_all()).permute(0, 3, 1, 2).float() / 255
    bright = [net.network.eval()(net.network.normalise(inputs)).sigmoid().mean().item() for net in (free, sparse)]
    assert bright[1] < 0.85 * bright[0]


def test_a_round_starts_from_the_network_before_and_learns_its_labels(data):
    images, labels, tags, masks = data
    first = pretrain(images, tags, PretrainConfig(epochs=1, batch_size=8), NETWORK, CPU)
    settings = SelfTrainConfig(epochs=15, batch_size=8, lr=0.02, milestones=[14])
    done = selftrain(images, labels, settings, first.network, CPU)
    assert done.network.config.head.name == "fin"
    assert done.history[-1]["loss"] < 0.6 * done.history[0]["loss"]
    inputs = torch.from_numpy(images.read_all()).permute(0, 3, 1, 2).float() / 255
    maps = done.network.eval()(done.network.normalise(inputs)).sigmoid()[:, 0].detach().numpy()
    assert np.abs(maps - masks).mean() < 0.5 * np.abs(0.5 - masks).mean()
    still = selftrain(images, labels, settings.model_copy(update={"epochs": 1, "lr": 1e-12}), first.network, CPU)
    before, after = first.network.state_dict(), still.network.state_dict()
    assert torch.allclose(before["head.foreground.0.weight"], after["head.foreground.0.weight"], atol=1e-6)
    assert torch.allclose(before["backbone.stage5.down.0.weight"], after["backbone.stage5.down.0.weight"], atol=1e-6)


def test_the_average_of_the_score_maps_is_another_map_of_the_same_network(data, tmp_path):
    images, _, tags, _ = data
    learnt = pretrain(images, tags, PretrainConfig(epochs=1, batch_size=8), NETWORK, CPU).network.eval()
    save_model(tmp_path / "tags.safetensors", learnt, learnt.config, {"tags": ["red", "yellow"]}, input_size=64)
    verb = ["wss", "average", "--out-model", str(tmp_path / "mean.safetensors")]
    assert CliRunner().invoke(app, [*verb, str(tmp_path / "tags.safetensors")]).exit_code == 0
    network, header = load_model(tmp_path / "mean.safetensors")
    assert header["extra"]["tags"] == ["red", "yellow"] and header["input_size"] == [64, 64]
    inputs = learnt.normalise(torch.from_numpy(images.read_all()).permute(0, 3, 1, 2).float() / 255)
    patterns = learnt.head.patterns(learnt.backbone.stages(inputs)[-1]).mean(1)
    low, high = patterns.amin((1, 2)), patterns.amax((1, 2))
    brightest = network(inputs).sigmoid()[:, 0].amax((1, 2))
    assert torch.allclose(brightest, torch.where(high > low, 1.0, 0.0), atol=0.05), "stretched to 0..1"
    assert not torch.allclose(network(inputs), learnt(inputs))
    assert all(torch.equal(value, learnt.state_dict()[name]) for name, value in network.state_dict().items())
    save_model(tmp_path / "other.safetensors", build_network(NETWORK), NETWORK)
    refused = CliRunner().invoke(app, [*verb, str(tmp_path / "other.safetensors")]).exception
    assert isinstance(refused, UsageError) and "has the head skip; give a model of usod wss pretrain" in str(refused)


def moved(network, start):
    """The parts of the network whose parameters are not those of `start`."""
    changed = [name for name, value in network.named_parameters() if not torch.allclose(value, start[name], atol=1e-6)]
    return {".".join(name.split(".")[:2]) for name in changed}


def test_only_new_layers_learn_faster_and_in_the_second_round_none_is_new(data):
    images, labels, tags, _ = data
    settings = SelfTrainConfig(epochs=1, batch_size=8, lr=1e-12, head_lr_factor=1e10)
    before = pretrain(images, tags, PretrainConfig(epochs=1, batch_size=8), NETWORK, CPU).network
    for new in ({"head.skips", "head.up"}, set()):
        start = new_network(before.config.with_head(FinOptions()), settings.seed).state_dict() | before.state_dict()
        after = selftrain(images, labels, settings, before, CPU).network
        assert moved(after, start) == new
        before = after


@pytest.mark.parametrize("kind", [PretrainConfig, SelfTrainConfig])
def test_the_optimiser_is_the_papers(kind):
    """eta |theta|^2 has the gradient 2 eta theta; momentum without Nesterov's look ahead."""
    schedule = Schedule.of(kind(), 0.01, 0)
    assert (schedule.optimiser, schedule.nesterov, schedule.weight_decay) == ("sgd", False, 2e-4)
    with pytest.raises(UsageError, match="weight_decay: is now eta"):
        parse_section(kind, '{"weight_decay": 0.0005}')


def test_frozen_statistics_stay_frozen_round_by_round(data, tmp_path):
    images, labels, tags, _ = data
    start = NetworkConfig(name="mobilenet_v2")
    save_model(tmp_path / "start.safetensors", build_network(start), start)
    config = NetworkConfig(name="mobilenet_v2", weights=str(tmp_path / "start.safetensors"), freeze_batchnorm=True)
    first = pretrain(images, tags, PretrainConfig(epochs=1, batch_size=8, lr=1e-4), config, CPU).network
    one = selftrain(images, labels, SelfTrainConfig(epochs=1, batch_size=8), first, CPU).network
    two = selftrain(images, labels, SelfTrainConfig(epochs=1, batch_size=8), one, CPU).network
    name = "backbone.features.0.1.running_mean"
    assert all(torch.equal(net.state_dict()[name], first.state_dict()[name]) for net in (one, two))
    assert two.config.freeze_batchnorm and two.weights == first.weights


def test_a_network_of_another_system_is_refused(data):
    images, labels, _, _ = data
    with pytest.raises(UsodError, match="head skip; give one of usod wss"):
        selftrain(images, labels, SelfTrainConfig(), build_network(NETWORK), CPU)
