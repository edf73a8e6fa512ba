"""What only a GPU can show: no step waits for it, and it computes what the CPU does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from tests.training import test_parallel
from usod import devices
from usod.crf import CRFParams, DenseCRF, lattice, sorted_lattice
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.systems.deepusps import PseudoLabels, Refinement
from usod.systems.deepusps_settings import RefineConfig
from usod.training.checkpoint import Checkpoint
from usod.training.graphed import RECORDED_AFTER, Graphed
from usod.training.inputs import Inputs
from usod.training.loop import Schedule, Trainer
from usod.training.moving_average import MovingAverage
from usod.training.parallel import Process, run
from usod.training.placement import Kept

GPU = torch.device("cuda")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


class Watched(Refinement):
    """From its second epoch on, anything that waits is an error, from the first loss to the last moving average."""

    def loss(self, probability, rows):
        if self.average.updates.min() > 0:
            torch.cuda.set_sync_debug_mode("error")
        return super().loss(probability, rows)

    def remember(self, observed, rows):
        super().remember(observed, rows)
        if len(self.average.updates.unique()) == 1:
            torch.cuda.set_sync_debug_mode("default")


def train(device, precision="float32"):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 8, 8, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    maps = (images[..., 0] > 127).astype(np.uint8) * 255
    torch.manual_seed(0)
    network = build_network(NetworkConfig(light_width=8))
    labels = PseudoLabels(maps, np.full(12, 0.5, np.float32), device)
    average = MovingAverage(12, (64, 64), device=device)
    crf = DenseCRF(images, CRFParams(bilateral_sxy=10), device)
    objective = (Watched if device.type == "cuda" else Refinement)(labels, average, crf, RefineConfig())
    schedule = Schedule(epochs=3, batch_size=4, lr=1e-3, precision=precision)
    Trainer(network, Inputs(images, device), objective, schedule, Process(device), Checkpoint(None, ""), "test").fit()
    return average.read(slice(None))


def test_no_step_waits_for_the_gpu_and_its_labels_are_those_of_the_cpu():
    try:
        on_gpu = train(GPU)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu = train(torch.device("cpu"))
    assert (on_gpu - on_cpu).abs().mean() < 0.02


@pytest.mark.skipif(
    not (torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)), reason="no bf16"
)
def test_bf16_is_what_such_a_gpu_takes_by_itself_and_learns_the_same():
    with devices.autocast(GPU, "auto"):
        product = torch.ones(8, 8, device=GPU) @ torch.ones(8, 8, device=GPU)
    assert product.dtype == torch.bfloat16
    try:
        on_gpu = train(GPU, "auto")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (on_gpu - train(torch.device("cpu"))).abs().mean() < 0.05


@pytest.mark.parametrize("free", [0, 2**40])
def test_values_of_a_batch_come_without_waiting(free, monkeypatch):
    monkeypatch.setattr("usod.training.placement.available_memory", lambda device: free)
    values = torch.randn(50, 7, 9)
    kept, rows = Kept(values, GPU), torch.tensor([4, 49, 0])
    assert (kept.values.is_cuda, kept.values.is_pinned()) == (free > 0, free == 0)
    kept[torch.arange(3)]  # memory that is not there yet is waited for
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = kept[rows]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.is_cuda and torch.equal(found.cpu(), values[rows])


def test_a_checkpoint_is_copied_into_the_same_pinned_memory(tmp_path):
    state = {"network": torch.zeros(1000, 1000, device=GPU), "list": [torch.zeros(3, device=GPU)]}
    checkpoint = Checkpoint(tmp_path, "x")
    places = []
    for epoch in range(3):
        checkpoint.save(state)
        for tensor in (state["network"], *state["list"]):
            tensor += 1  # while the file is written
        places.append(checkpoint._copy["network"].data_ptr())
        assert checkpoint._copy["network"].is_pinned() and checkpoint._copy["list"][0].is_pinned()
        loaded = Checkpoint(tmp_path, "x").load() if checkpoint.flush() is None else None
        assert loaded["network"].unique().tolist() == [epoch] and loaded["list"][0].tolist() == [epoch] * 3
    assert len(set(places)) == 1


@pytest.mark.parametrize("head", ["skip", "ram", "gated", "relation", "fin", "activation", "tags"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_recorded_passes_give_what_the_network_gives(head, precision, monkeypatch):
    config = {"name": "mobilenet_v2", "weights": "none", "output_stride": 32, "head": {"name": head}}
    if head == "tags":
        config["head"]["classes"] = 5
    torch.manual_seed(0)
    network = build_network(NetworkConfig.model_validate(config)).to(GPU).train()
    inputs = [torch.rand(2, 3 if name == "image" else 1, 64, 64, device=GPU) for name in network.inputs]
    passes, learnt = Graphed(network), list(network.parameters())
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)

    def run(forward):
        statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
        with devices.autocast(GPU, precision):
            found = [part.float() for part in tree_leaves(forward(*inputs))]
        draw = torch.Generator(GPU).manual_seed(1)
        loss = sum((part * torch.randn(part.shape, generator=draw, device=GPU)).sum() for part in found)
        gradients = torch.autograd.grad(loss, learnt, allow_unused=True)
        passes.consumed()
        after = [buffer.float().clone() for buffer in network.buffers()]
        for name, buffer in network.named_buffers():
            buffer.copy_(statistics[name])
        kinds = found, [gradient for gradient in gradients if gradient is not None], after
        return [torch.cat([part.detach().flatten() for part in kind]) for kind in kinds]

    def differs(one, other):
        return [float((a - b).norm() / b.norm()) for a, b in zip(one, other, strict=True)]

    expected = run(network)
    # The passes may be done by other algorithms. In bf16 these gradients are as far from float32's as they are long.
    most = 1e-3 if precision == "float32" else 5e-2
    for _ in range(RECORDED_AFTER + 2):
        assert max(differs(run(passes), expected)) < most
    assert passes._recorded


class Waiting(torch.nn.Module):
    """Looks at what it computes, which cannot be recorded."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 1, 1)

    def forward(self, x):
        found = self.layer(x)
        return found if found.sum().item() else -found


def test_a_network_that_waits_is_run_as_it_is_and_leaves_the_random_numbers_in_order(capfd):
    passes, image = Graphed(Waiting().to(GPU)), torch.rand(2, 3, 8, 8, device=GPU)
    torch.manual_seed(0)
    expected = torch.rand(5, device=GPU)
    torch.manual_seed(0)
    for _ in range(2 * RECORDED_AFTER):
        passes(image).sum().backward()
        passes.consumed()
    assert torch.equal(torch.rand(5, device=GPU), expected)
    assert capfd.readouterr().err.count("not recorded as a CUDA graph") == 1


def test_a_network_that_draws_random_numbers_draws_others_in_every_recorded_pass():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Dropout(0.5)).to(GPU)
    passes, image = Graphed(network), torch.rand(2, 3, 8, 8, device=GPU)
    found = []
    for _ in range(RECORDED_AFTER + 3):
        found.append(passes(image).detach().clone())
        passes.consumed()
    assert len({tuple((one == 0).flatten().tolist()) for one in found}) == len(found)


SAME_BITS = """
import hashlib, sys
from usod.devices import start_device
device = start_device("cuda", 1)
from tests.training.test_cuda import train
print(hashlib.sha256(train(device, "auto").numpy().tobytes()).hexdigest())
"""


def test_deterministic_gives_the_same_bits_in_every_run():
    """Of network, loss, CRF and average; PyTorch stops where it has no algorithm for that."""
    environment = os.environ | {devices.DETERMINISTIC: "1"}
    command, root = [sys.executable, "-c", SAME_BITS], Path(__file__).parents[2]
    runs = [
        subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one(tmp_path):
    run(1, GPU, test_parallel.train, [(5, 4)], tmp_path / "one.pt")
    run(2, GPU, test_parallel.train, [(5, 4)], tmp_path / "two.pt")
    one, two = (torch.load(tmp_path / f"{name}.pt")[0] for name in ("one", "two"))
    torch.testing.assert_close(one[0], two[0], atol=1e-3, rtol=0)
    assert torch.equal(one[2].cpu(), two[2].cpu())


@pytest.mark.parametrize("count", [9_000, 20_000, 40_000])
def test_lattices_of_more_vertices_than_15_and_16_bits_can_number(count):
    points = torch.arange(count, dtype=torch.float32).expand(1, 2, count) * 5
    built = sorted_lattice.build(points.to(GPU), [(0.0, 5.0 * count)])
    values = torch.randn(2 * count, generator=torch.Generator().manual_seed(0))
    filtered = built.filter(values.to(GPU))
    assert torch.equal(filtered, built.filter(values.to(GPU)))
    expected = torch.cat([lattice.build(points[:, 0]).filter(part) for part in values.split(count)])
    torch.testing.assert_close(filtered.cpu(), expected)


def test_gpu_lattices_filter_colours_as_the_cpu_s():
    features = torch.randn(5, 4, 3000, generator=torch.Generator().manual_seed(0)) * 5
    built = sorted_lattice.build(features.to(GPU), [(-40.0, 40.0)] * 5).symmetrically_normalised()
    values = torch.randn(4, 3000, generator=torch.Generator().manual_seed(1))
    alone = [lattice.build(features[:, image]).symmetrically_normalised() for image in range(4)]
    expected = torch.stack([one.filter(part) for one, part in zip(alone, values, strict=True)])
    torch.testing.assert_close(built.filter(values.flatten().to(GPU)).cpu().view(4, 3000), expected, atol=1e-3, rtol=0)
