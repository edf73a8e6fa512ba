"""Where the time of a DeepUSPS training goes, and what the whole schedule would take.

    python benchmarks/training.py                      # MobileNetV2 at 160 px, as on a small machine
    python benchmarks/training.py --paper              # DRN-D-105 at 432 px, batches of 20: the paper's scale, on a GPU

The peer is the bare network: forward pass, loss, backward pass and Adam on one batch that never changes. The ratio is
an epoch's time over that of as many bare steps: what data, CRF, moving averages and bookkeeping add.
Images are noise, or photographs given as files. Weights are random: speed does not depend on them.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from timing import judge

from usod.crf import CRFParams, DenseCRF
from usod.devices import autocast, describe_device, pick_device
from usod.memory import available_memory
from usod.models.build import build_network
from usod.models.config import NetworkConfig
from usod.models.saliency_net import SaliencyNet
from usod.progress import set_quiet
from usod.settings.sections import CrfConfig
from usod.systems.deepusps import Fusion, PseudoLabels, Refinement
from usod.systems.deepusps_settings import FuseConfig, RefineConfig
from usod.training.checkpoint import Checkpoint
from usod.training.inputs import Inputs
from usod.training.loop import Schedule, Trainer
from usod.training.losses import f_beta_loss
from usod.training.moving_average import MovingAverage
from usod.training.objective import Objective
from usod.training.parallel import Process

# DeepUSPS 4.1: 4 methods x 3 stages x 25 epochs, then 200 epochs of fusion, on 2500 images.
PAPER_IMAGES, REFINE_EPOCHS, STAGES, FUSE_EPOCHS = 2500, 25, 12, 200
PARTS = ("data", "network", "crf", "average")


def bare_step_seconds(config: NetworkConfig, batch: int, size: int, device: torch.device, steps: int) -> float:
    """Seconds of one step of the network alone."""
    network = build_network(config).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    inputs = network.as_input(torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8, device=device))
    target = (torch.rand(batch, size, size, device=device) > 0.8).float()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-6, fused=device.type == "cuda")
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        with autocast(device, "auto"):
            logits = network(inputs)
        optimiser.zero_grad(set_to_none=True)
        f_beta_loss(logits.float().sigmoid()[:, 0], target, beta2=1).mean().backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[2:]))


def epochs(
    network: SaliencyNet, images: np.ndarray, objective: Objective, batch: int, device: torch.device
) -> list[dict[str, float]]:
    """History rows of two epochs: in the first the CRF's lattices are built."""
    schedule = Schedule(epochs=2, batch_size=batch, lr=1e-6)
    return Trainer(
        network, Inputs(images, device), objective, schedule, Process(device), Checkpoint(None, ""), "benchmark"
    ).fit()


def report(name: str, row: dict[str, float], bare: float, batch: int) -> None:
    """Print one line."""
    shares = "  ".join(f"{part} {100 * row[f'seconds_{part}'] / row['seconds']:.1f}%" for part in PARTS)
    sys.stdout.write(
        f"{name}: {row['images_per_s']:.1f} images/s  {shares}  {batch / row['images_per_s'] / bare:.2f} x the bare "
        f"network's time, {row['device_memory_mb']:.0f} MB\n"
    )
    rate = row["images_per_s"]
    judge(f"training, {name}: a step over the bare network's", batch / rate / bare, "x", beside=f"{rate:.1f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="image files, repeated as often as needed")
    parser.add_argument("--paper", action="store_true", help="DRN-D-105, 432 px")
    parser.add_argument("--images", type=int, help="number of images (default 40, on a GPU 400; with --paper 200)")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    set_quiet(True)
    few = 40 if device.type == "cpu" else 400
    name, size, count = ("drn_d_105", 432, 200) if arguments.paper else ("mobilenet_v2", 160, few)
    count = arguments.images or count
    config = NetworkConfig(name=name, weights="none")
    rng = np.random.default_rng(0)
    if arguments.files:
        read = [np.asarray(Image.open(f).convert("RGB").resize((size, size))) for f in arguments.files[:count]]
        images = np.stack([read[i % len(read)] for i in range(count)])
    else:
        images = rng.integers(0, 256, (count, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    maps = rng.integers(0, 256, (count, size // 8, size // 8)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    labels = PseudoLabels(maps, np.full(count, 0.5, np.float32), device)

    sys.stdout.write(f"{name} at {size}x{size}, batches of {arguments.batch}, {describe_device(device)}\n")
    bare = bare_step_seconds(config, arguments.batch, size, device, steps=5 if device.type == "cpu" else 20)
    crf_params = CrfConfig(bilateral_sxy=80 * size / 432)
    crf = DenseCRF(images, CRFParams(**crf_params.model_dump()), device, memory_gb=available_memory(device) / 4e9)
    average = MovingAverage(count, (size, size), device=device)
    refinement = Refinement(labels, average, crf, RefineConfig())
    first, later = epochs(build_network(config), images, refinement, arguments.batch, device)
    report("refinement, first epoch", first, bare, arguments.batch)
    report("refinement, later epochs", later, bare, arguments.batch)
    _, fusion = epochs(build_network(config), images, Fusion([labels] * 4, FuseConfig()), arguments.batch, device)
    report("fusion of four methods", fusion, bare, arguments.batch)

    slow, fast, fused = (PAPER_IMAGES / row["images_per_s"] for row in (first, later, fusion))
    refine_hours = STAGES * (slow + (REFINE_EPOCHS - 1) * fast) / 3600
    fuse_hours = FUSE_EPOCHS * fused / 3600
    sys.stdout.write(
        f"whole schedule on {PAPER_IMAGES} images: "
        f"{STAGES} stages x ({slow:.0f} s + {REFINE_EPOCHS - 1} x {fast:.0f} s) "
        f"+ {FUSE_EPOCHS} x {fused:.0f} s = {refine_hours:.2f} h + {fuse_hours:.2f} h = "
        f"{refine_hours + fuse_hours:.2f} device-hours\n"
    )


if __name__ == "__main__":
    main()
