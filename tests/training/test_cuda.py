"""What only a GPU can show: no step waits for it, and it computes what the CPU does."""

import numpy as np
import pytest
import torch

from usod.crf import CRFParams, DenseCRF
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.systems.deepusps import PseudoLabels, Refinement
from usod.systems.deepusps_settings import RefineConfig
from usod.training.checkpoint import Checkpoint
from usod.training.inputs import Inputs
from usod.training.loop import Schedule, Trainer
from usod.training.moving_average import MovingAverage
from usod.training.parallel import Process

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


class Watched(Refinement):
    """From its second epoch on, anything between the forward pass and the moving average that waits is an error."""

    def loss(self, probability, rows):
        if self.average.updates[rows].min() > 0:
            torch.cuda.set_sync_debug_mode("error")
        return super().loss(probability, rows)

    def remember(self, observed, rows):
        super().remember(observed, rows)
        torch.cuda.set_sync_debug_mode("default")


def train(device):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 8, 8, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    maps = (images[..., 0] > 127).astype(np.uint8) * 255
    torch.manual_seed(0)
    network = build_network(NetworkConfig(light_width=8))
    labels = PseudoLabels(maps, np.full(12, 0.5, np.float32), device)
    average = MovingAverage(12, (64, 64), device=device)
    crf = DenseCRF(images, CRFParams(bilateral_sxy=10), device)
    objective = (Watched if device.type == "cuda" else Refinement)(labels, average, crf, RefineConfig())
    schedule = Schedule(epochs=3, batch_size=4, lr=1e-3, precision="float32")
    Trainer(network, Inputs(images, device), objective, schedule, Process(device), Checkpoint(None, ""), "test").fit()
    return average.read(slice(None))


def test_no_step_waits_for_the_gpu_and_its_labels_are_those_of_the_cpu():
    try:
        on_gpu = train(torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu = train(torch.device("cpu"))
    assert (on_gpu - on_cpu).abs().mean() < 0.02
