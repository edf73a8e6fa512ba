import itertools
import json
import threading

import numpy as np
import pytest
import torch

from usod import heartbeat
from usod.errors import UsodError
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.systems.deepusps_settings import FuseConfig
from usod.training.checkpoint import Checkpoint
from usod.training.inputs import Inputs
from usod.training.loop import Schedule, Trainer, batches
from usod.training.losses import f_beta_loss
from usod.training.moving_average import MovingAverage
from usod.training.objective import Memoryless, as_probability
from usod.training.parallel import Process

CPU = torch.device("cpu")


class Bright(Memoryless):
    """Learns which pixels are bright, and counts what it sees."""

    def __init__(self, images, stop_in=None):
        self.target = torch.from_numpy((images[..., 0] > 127).astype(np.float32))
        self.seen = torch.zeros(len(images), dtype=torch.int64)
        self.stop_in = stop_in

    def loss(self, probability, rows):
        return f_beta_loss(probability, self.target[rows], 0.3)

    def observe(self, probability, rows):
        assert probability.requires_grad is False and probability.dtype == torch.float32
        if self.stop_in is not None and self.seen.min() == self.stop_in:
            raise KeyboardInterrupt
        return probability

    def remember(self, observed, rows):
        assert len(observed) == len(rows)
        self.seen[rows] += 1

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen.copy_(state["seen"])


def blocks():
    """(11, 32, 32, 3) uint8 chequers."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 2, (11, 4, 4, 1)) * 255
    return np.repeat(np.repeat(np.repeat(coarse, 8, 1), 8, 2), 3, 3).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    return blocks()


def trainer(images, work=None, identity="x", objective=None, **changes):
    torch.manual_seed(0)
    network = build_network(NetworkConfig(light_width=8))
    schedule = Schedule(**{"epochs": 3, "batch_size": 5, "lr": 3e-3, "flip": True, **changes})
    checkpoint = Checkpoint(work, identity)
    return Trainer(network, Inputs(images), objective or Bright(images), schedule, Process(CPU), checkpoint, "test")


def weights(trained):
    return torch.cat([value.flatten().double() for value in trained.network.state_dict().values()])


def test_every_image_once_per_epoch_and_no_lonely_last_one():
    parts = list(batches(11, 5, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(parts).tolist()) == list(range(11))
    assert [len(part) for part in parts] == [5, 6]


def test_images_in_a_file_are_read_ahead_once_a_batch_to_the_same_bits(images, tmp_path):
    file = np.memmap(tmp_path / "images", np.uint8, "w+", shape=images.shape)
    file[:] = images
    in_memory, in_file = trainer(images), trainer(file)
    ahead, read = in_file.inputs._pixels._ahead, []
    original = ahead._read
    ahead._read = lambda rows: (read.append((len(rows), threading.current_thread().name)), original(rows))[1]
    assert in_memory.fit()[-1]["loss"] == in_file.fit()[-1]["loss"]
    assert torch.equal(weights(in_memory), weights(in_file))
    main = threading.main_thread().name
    assert [(length, name == main) for length, name in read] == [(5, True), (6, False)] * 3


def test_the_loss_falls_and_the_history_says_so(images):
    done = trainer(images, epochs=12)
    history = done.fit()
    assert [row["epoch"] for row in history] == list(range(1, 13))
    assert history[-1]["loss"] < 0.75 * history[0]["loss"]
    assert done.objective.seen.tolist() == [12] * 11
    assert all(row["seconds"] >= row["seconds_network"] > 0 for row in history)


def test_a_stopped_training_goes_on_to_the_same_end(images, tmp_path):
    through = trainer(images)
    through.fit()
    with pytest.raises(KeyboardInterrupt):
        trainer(images, tmp_path / "w", objective=Bright(images, stop_in=1)).fit()
    resumed = trainer(images, tmp_path / "w")
    resumed.fit()
    assert torch.equal(weights(through), weights(resumed))
    assert [row["loss"] for row in through.history] == [row["loss"] for row in resumed.history]
    assert resumed.objective.seen.tolist() == [3] * 11


def test_a_state_of_other_settings_is_not_used(images, tmp_path):
    trainer(images, tmp_path / "w", epochs=1).fit()
    other = trainer(images, tmp_path / "w", identity="y", epochs=2)
    other.fit()
    assert other.objective.seen.tolist() == [2] * 11


def test_a_damaged_state_costs_the_epochs_and_nothing_else(images, tmp_path):
    trainer(images, tmp_path / "w", epochs=1).fit()
    state = tmp_path / "w" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    assert len(trainer(images, tmp_path / "w", epochs=2).fit()) == 2


def test_poly_decay_by_hand():
    schedule = Schedule(epochs=10, batch_size=1, lr=1, lr_decay="poly")
    assert [schedule.lr_factor(e) for e in (0, 5)] == pytest.approx([1, 0.5**0.9])


def test_linear_decay_by_hand(images):
    schedule = Schedule(epochs=20, batch_size=1, lr=1, lr_decay="linear", lr_end=0.2)
    assert [schedule.lr_factor(e) for e in (0, 5, 12.5, 20)] == pytest.approx([1, 0.8, 0.5, 0.2])
    done = trainer(images, epochs=4, lr_decay="linear", lr_end=0.2, lr_every="step")
    done.fit()
    assert done.optimiser.param_groups[1]["lr"] == pytest.approx(3e-3 * (1 - 0.8 * 3.5 / 4))


def test_an_encoder_can_begin_to_learn_later_than_its_head(images):
    """Until its epoch it stays as it is, though the head moves."""
    seen = []

    class Watched(Bright):
        def look(self, network):
            parts = (network.backbone, network.head)
            seen.append([torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts])

    trainer(images, objective=Watched(images), encoder_from=3).fit()
    moved = [[not torch.equal(a, b) for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(seen)]
    assert moved == [[False, True], [False, True], [True, True]]


def test_an_objective_is_told_each_epoch_and_may_call_the_network_as_it_likes(images):
    told = []

    class Twice(Bright):
        def begin(self, epoch):
            told.append(epoch)

        def see(self, forward, inputs, named):
            return (forward(*inputs, **named) + forward(inputs[0].flip(-2)).flip(-2)) / 2

    done = trainer(images, objective=Twice(images), epochs=2)
    done.fit()
    assert told == [1, 2] and not torch.equal(weights(done), weights_of_two_epochs(images))


def weights_of_two_epochs(images):
    once = trainer(images, epochs=2)
    once.fit()
    return weights(once)


def test_a_head_can_learn_faster_than_its_backbone(images):
    groups = trainer(images, head_lr_factor=10).optimiser.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([3e-3, 3e-2])


def test_a_loss_that_is_not_finite_stops_the_training(images):
    class Broken(Bright):
        def loss(self, probability, rows):
            return super().loss(probability, rows) * float("nan")

    with pytest.raises(UsodError, match="not finite in epoch 1"):
        trainer(images, objective=Broken(images)).fit()


class Averaging(Bright):
    """Keeps the moving average of the predictions, and the loss of everything but one pixel."""

    def __init__(self, images):
        super().__init__(images)
        self.average = MovingAverage(len(images), images.shape[1:3])

    def loss(self, probability, rows):
        return f_beta_loss(probability[:, 1:], self.target[rows][:, 1:], 0.3)

    def remember(self, observed, rows):
        self.average.update(rows, observed)

    def state_dict(self):
        return self.average.state_dict()

    def load_state_dict(self, state):
        self.average.load_state_dict(state)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_prediction_that_is_not_finite_ends_the_epoch_and_nothing_of_it_is_kept(images, tmp_path, value):
    """Also where the loss is none the wiser: the moving average would be."""
    calls = []

    def read(output, view):
        probability = as_probability(output, view)
        calls.append(1)
        if len(calls) == 4:  # the second epoch's second batch
            probability = probability.clone()
            probability[2, 0, 5] = value
        return probability

    objective = Averaging(images)
    objective.read = read
    broken = trainer(images, tmp_path / "work", objective=objective)
    with pytest.raises(UsodError, match="^test: 1 of 11 predictions are not finite in epoch 2; lower lr, or set prec"):
        broken.fit()
    assert len(calls) == 4
    assert broken.objective.average.average.isfinite().all()
    kept = Checkpoint(tmp_path / "work", "x").load()
    assert len(kept["history"]) == 1 and kept["objective"]["average"].isfinite().all()


@pytest.mark.parametrize("group", [1, 4, 11])
def test_what_is_observed_at_the_end_of_an_epoch_in_groups_is_what_is_observed_in_its_steps(images, group):
    in_steps, in_groups = Averaging(images), Averaging(images)
    in_groups.group, asked, observe = group, [], in_groups.observe
    in_groups.observe = lambda seen, rows: asked.append((in_groups.average.updates.min(), rows)) or observe(seen, rows)
    trainer(images, objective=in_steps).fit()
    trainer(images, objective=in_groups).fit()
    assert torch.equal(in_groups.average.average, in_steps.average.average)
    assert torch.equal(torch.cat([rows for _, rows in asked]), torch.arange(11).repeat(3))
    assert [len(rows) for _, rows in asked] == {1: [1] * 33, 4: [4, 4, 3] * 3, 11: [11] * 3}[group]


def test_settings_become_a_schedule():
    schedule = Schedule.of(FuseConfig(epochs=7, flip=True, lr_decay="constant"), lr=0.5, seed=3)
    assert (schedule.epochs, schedule.batch_size, schedule.lr, schedule.seed) == (7, 20, 0.5, 3)
    assert schedule.flip and schedule.lr_decay == "constant"


def test_a_training_says_how_far_it_is(images, tmp_path, monkeypatch):
    """For `usod status`: the last whole epoch's loss and speed, the time of the epochs that are left."""
    monkeypatch.setenv("USOD_JOBS", str(tmp_path))
    monkeypatch.setattr(heartbeat, "_PAUSE", 0.0)
    with heartbeat.beating(["deepusps", "fuse"]):
        (file,) = tmp_path.iterdir()
        stopping = Bright(images, stop_in=2)
        with pytest.raises(KeyboardInterrupt):
            trainer(images, objective=stopping, epochs=4).fit()
        told = json.loads(file.read_text())
    assert (told["what"], told["epoch"], told["epochs"]) == ("test", 3, 4) and 0 < told["loss"] < 1
    assert told["left"] * told["speed"] == pytest.approx(len(images) * 2, rel=0.5)
