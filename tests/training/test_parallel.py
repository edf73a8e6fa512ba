"""Two processes on the CPU, connected by gloo. They are spawned, so what they run is at the top of this module."""

import numpy as np
import pytest
import torch

from tests.training.test_loop import Bright, blocks, weights
from usod.errors import UsageError, UsodError
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.training.checkpoint import Checkpoint
from usod.training.loop import Schedule, Trainer
from usod.training.parallel import Process, run

CPU = torch.device("cpu")


class Weighty(Bright):
    """Remembers a number of every prediction, so that the processes must tell each other."""

    def __init__(self, images):
        super().__init__(images)
        self.area = torch.zeros(len(images))

    def observe(self, probability, rows):
        return probability.mean((1, 2))

    def remember(self, observed, rows):
        self.seen[rows] += 1
        self.area[rows] = observed


def train(process, batch_sizes, out):
    """Save weights, losses and what is remembered, for one training per batch size."""
    images, results = blocks(), []
    for batch_size in batch_sizes:
        torch.manual_seed(0)
        network = build_network(NetworkConfig(light_width=8))
        schedule = Schedule(epochs=2, batch_size=batch_size, lr=3e-3, flip=True)
        objective = Weighty(images)
        trainer = Trainer(network, images, objective, schedule, process, Checkpoint(None, "x"), "test")
        losses = [row["loss"] for row in trainer.fit()]
        results.append((weights(trainer), losses, objective.seen, objective.area))
    if process.rank == 0:
        torch.save(results, out)


def fail_in_second(process):
    if process.rank == 1:
        raise UsodError("labels.h5: lacks an image")
    process.sum(torch.ones(1))  # waits for the other


def train_batchnorm(process):
    network = build_network(NetworkConfig(name="mobilenet_v2", weights="none", output_stride=32))
    images = np.zeros((4, 32, 32, 3), np.uint8)
    schedule = Schedule(epochs=1, batch_size=4, lr=1e-3)
    Trainer(network, images, Bright(images), schedule, process, Checkpoint(None, "x"), "test").fit()


def test_two_processes_train_as_one_with_the_same_batches(tmp_path):
    # Of 11 images: batches of 5 and 6, whose parts are of 3 and 2, 3 and 3; and batches of 1, which leave one idle.
    for count in (1, 2):
        run(count, CPU, train, (5, 1), tmp_path / f"{count}.pt")
    alone, together = (torch.load(tmp_path / f"{count}.pt") for count in (1, 2))
    for (one, losses, seen, area), (two, losses2, seen2, area2) in zip(alone, together, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
        assert losses2 == pytest.approx(losses, rel=1e-4)
        assert seen2.tolist() == seen.tolist() == [2] * 11
        torch.testing.assert_close(area2, area, rtol=1e-4, atol=1e-5)


def test_the_error_of_any_process_ends_all_with_its_line():
    with pytest.raises(UsodError, match="^labels.h5: lacks an image$"):
        run(2, CPU, fail_in_second)


def test_batchnorm_of_parts_of_a_batch_is_refused_where_it_cannot_be_that_of_the_batch():
    with pytest.raises(UsageError, match="batch norm"):
        run(2, CPU, train_batchnorm)


def test_more_gpus_than_there_are_are_refused():
    have = torch.cuda.device_count()
    with pytest.raises(UsageError, match=f"--devices {have + 2}: only {have} GPUs"):
        run(have + 2, torch.device("cuda"), fail_in_second)
    with pytest.raises(UsageError, match="--device cpu:0"):
        run(2, torch.device("cpu:0"), fail_in_second)


def test_parts_of_a_batch_alone_are_the_batch():
    process = Process(CPU)
    assert process.part(torch.arange(3)).tolist() == [0, 1, 2]
    assert (process.rank, process.size) == (0, 1)
