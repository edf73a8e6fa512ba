"""Processes on the CPU, connected by gloo. They are spawned, so what they run is at the top of this module."""

import errno
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.training.test_loop import Bright, blocks, weights
from usod import memory
from usod.data.mapstore import MapStore, write_maps
from usod.data.store import to_uint8
from usod.errors import UsageError, UsodError
from usod.models.build import build_backbone, build_network
from usod.models.config import NetworkConfig
from usod.models.ram import resize
from usod.training.checkpoint import Checkpoint
from usod.training.inputs import Inputs
from usod.training.loop import Schedule, Trainer
from usod.training.parallel import Process, processes, run

CPU = torch.device("cpu")


class Weighty(Bright):
    """Remembers a number of every prediction, so that the processes must tell each other."""

    def __init__(self, images):
        super().__init__(images)
        self.area = torch.zeros(len(images))

    def observe(self, probability, rows):
        return probability.mean((1, 2)) + rows  # each image's own

    def remember(self, observed, rows):
        self.seen[rows] += 1
        self.area[rows] = observed


def train(process, kinds, out):
    """Save weights, losses and what is remembered, for one training per size of batches and groups."""
    images, results = blocks(), []
    for batch_size, group in kinds:
        torch.manual_seed(0)
        network = build_network(NetworkConfig(light_width=8))
        schedule = Schedule(epochs=2, batch_size=batch_size, lr=3e-3, flip=True)
        objective = Weighty(images)
        objective.group = group
        trainer = Trainer(network, Inputs(images), objective, schedule, process, Checkpoint(None, "x"), "test")
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
    Trainer(network, Inputs(images), Bright(images), schedule, process, Checkpoint(None, "x"), "test").fit()


class TwoSizes(Bright):
    """Calls the network twice before it learns."""

    def see(self, forward, inputs, named):
        small = resize(inputs[0], (32, 32))
        return forward(*inputs) + resize(forward(small), inputs[0].shape[-2:])


def train_at_two_sizes(process, weights_file):
    """With batch norms whose statistics are kept, and needed for the gradient of both calls."""
    torch.manual_seed(0)
    given = {"name": "mobilenet_v2", "weights": str(weights_file), "output_stride": 32, "freeze_batchnorm": True}
    network, images = build_network(NetworkConfig(**given)), np.zeros((4, 64, 64, 3), np.uint8)
    schedule = Schedule(epochs=1, batch_size=4, lr=1e-3)
    Trainer(network, Inputs(images), TwoSizes(images), schedule, process, Checkpoint(None, "x"), "test").fit()


LEFT = 64_000  # bytes that the machine is said to leave


def read(process, folder):
    """What a process makes of two stores where memory is short, and what becomes of it when the first one writes."""
    known, memory.left_by_control_groups = memory.left_by_control_groups, lambda: LEFT
    results = {"threads": torch.get_num_threads(), "left": memory.host_memory()}
    for name in ("small", "large"):
        with MapStore(folder / f"{name}.h5") as store:
            values = process.read_all(store, store.ids[::-1])
        results[name] = (torch.from_numpy(values).clone(), isinstance(values, np.memmap))
        process.sum(torch.ones(1))  # all have looked
        if process.rank == 0:
            values[0, 0, 0] = 255
        process.sum(torch.ones(1))
        results[f"{name} changed"] = bool(values[0, 0, 0] == 255)
    torch.save(results, folder / f"{process.rank}.pt")
    memory.left_by_control_groups = known  # one process alone is that of the tests


def read_and_train(process, folder, kinds, out):
    read(process, folder)
    train(process, kinds, out)


def read_on_a_full_disk(process, folder):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    memory.left_by_control_groups = lambda: 0
    os.posix_fallocate = full
    with MapStore(folder / "large.h5") as store:
        process.read_all(store)


@pytest.fixture
def stores(tmp_path, rng):
    """Twenty maps of 100 bytes, uint8, and of 1200, float16."""
    for name, size, dtype in (("small", (10, 10), "uint8"), ("large", (30, 40), "float16")):
        ids, attributes = [f"i{i}" for i in range(20)], {"created_by": "test", "config": {}, "inputs": {}}
        with write_maps(tmp_path / f"{name}.h5", ids, size, np.ones((20, 2), int), attributes, dtype) as rows:
            rows.fill(rng.random((20, *size)) * 0.9)
    return tmp_path


@pytest.fixture(params=[2, 8])
def together(request, stores, tmp_path):
    """How many processes did `read` and `train`, at once; it takes them seconds to start."""
    # Of 11 images: batches of 5 and 6, whose parts are of 3 and 2, 3 and 3; and batches of 1, which leave others idle.
    # Groups of 2 leave the last ones idle, too.
    kinds = ((5, 0), (1, 0), (1, 2))
    run(1, CPU, train, kinds, tmp_path / "alone.pt")
    run(request.param, CPU, read_and_train, stores, kinds, tmp_path / "together.pt")
    return request.param


def test_several_processes_train_as_one_with_the_same_batches(together, tmp_path):
    """And share the memory."""
    check_reading(tmp_path, together)
    alone, shared = (torch.load(tmp_path / f"{name}.pt") for name in ("alone", "together"))
    for (one, losses, seen, area), (two, losses2, seen2, area2) in zip(alone, shared, strict=True):
        # Adam makes whole steps of 3e-3 of the rounding errors of a gradient that is hardly there.
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-3)
        assert losses2 == pytest.approx(losses, rel=1e-4)
        assert seen2.tolist() == seen.tolist() == [2] * 11
        torch.testing.assert_close(area2, area, rtol=1e-4, atol=1e-5)


def test_one_process_has_all_of_the_memory(stores):
    run(1, CPU, read, stores)
    check_reading(stores, 1)


def check_reading(folder, count):
    """What fits once may not fit as often as there are processes: then one copy serves all, and leaves nothing."""
    for rank in range(count):
        found = torch.load(folder / f"{rank}.pt")
        assert found["left"] == LEFT // count
        assert found["threads"] == max(1, torch.get_num_threads() // count)
        for name in ("small", "large"):
            with MapStore(folder / f"{name}.h5") as store:
                expected = np.stack([to_uint8(store[key]) for key in store.ids[::-1]])
            np.testing.assert_array_equal(found[name][0].numpy(), expected)
        assert not found["small"][1]
        assert found["large"][1] == (count > 1), "24 kB are more than half of what is left to one of two"
        assert found["small changed"] == (rank == 0) and found["large changed"] == (rank == 0 or count > 1)
    assert {path.suffix for path in folder.iterdir()} == {".pt", ".h5"}


def test_a_disk_without_room_for_the_copy_ends_all_with_one_line(stores):
    with pytest.raises(UsodError, match=r"2\.4e-05 GB of images fit neither in memory nor here \(No space left"):
        run(2, CPU, read_on_a_full_disk, stores)
    assert sorted(path.name for path in stores.iterdir()) == ["large.h5", "small.h5"]


def test_the_error_of_any_process_ends_all_with_its_line():
    with pytest.raises(UsodError, match="^labels.h5: lacks an image$"):
        run(2, CPU, fail_in_second)


def test_batchnorm_of_parts_of_a_batch_is_refused_where_it_cannot_be_that_of_the_batch():
    with pytest.raises(UsageError, match="batch norm"):
        run(2, CPU, train_batchnorm)


def test_several_processes_may_call_the_network_twice_in_a_step(tmp_path):
    save_file(build_backbone(NetworkConfig(name="mobilenet_v2")).state_dict(), tmp_path / "w.safetensors")
    run(2, CPU, train_at_two_sizes, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("device", "count", "gpus", "expected"),
    [("auto", 3, False, 1), ("auto", 3, True, 3), ("cpu", 3, False, 3), ("cpu", 0, False, 1)],
)
def test_one_process_trains_where_auto_finds_no_gpus(monkeypatch, device, count, gpus, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    assert processes(device, count) == expected


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
