"""The one training loop: images in memory, an objective per system, exact resume after every epoch."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from usod.devices import describe_device, seed_everything
from usod.errors import UsodError
from usod.models.saliency_net import SaliencyNet
from usod.progress import duration, say
from usod.sections import FuseConfig, RefineConfig
from usod.training.checkpoint import Checkpoint
from usod.training.stopwatch import Stopwatch

Precision = Literal["auto", "float32", "bf16"]


class Objective(Protocol):
    """What a system wants from its network, and what it keeps of the predictions."""

    def loss(self, probability: Tensor, rows: Tensor) -> Tensor:
        """(B,) losses for probabilities (B, H, W) of the images `rows` (B,), a tensor on the CPU."""
        ...

    def observe(self, probability: Tensor, rows: Tensor) -> None:
        """Called after every forward pass with the detached float32 probabilities."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; see the keys of the same names in `usod.config`."""

    epochs: int
    batch_size: int
    lr: float
    lr_decay: Literal["constant", "poly"] = "constant"
    head_lr_factor: float = 1.0
    weight_decay: float = 0.0
    flip: bool = False
    precision: Precision = "auto"
    seed: int = 0

    @classmethod
    def of(cls, settings: RefineConfig | FuseConfig, lr: float, seed: int) -> "Schedule":
        """The schedule in a step's settings, with the learning rate and the seed of this training."""
        names = [f.name for f in fields(cls) if f.name not in ("lr", "seed")]
        return cls(lr=lr, seed=seed, **{name: getattr(settings, name) for name in names})

    def lr_factor(self, epoch: int) -> float:
        """Factor of the learning rate in epoch 0, 1, ...: 1, or (1 - epoch / epochs)^0.9."""
        return (1 - epoch / self.epochs) ** 0.9 if self.lr_decay == "poly" else 1.0


def as_input(network: SaliencyNet, images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> what the network takes: (B, 3, H, W) normalised float32, channels last in memory."""
    inputs = network.normalise(images.permute(0, 3, 1, 2).float() / 255)
    return inputs.contiguous(memory_format=torch.channels_last)


def autocast(device: torch.device, precision: Precision) -> Any:
    """bf16 autocast where it is asked for, or by itself on a GPU that computes it natively."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" or (precision == "auto" and native):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers of one epoch in random order; a last batch of one image joins the one before it.

    Batch normalisation cannot train on one image with one output position.
    """
    order = torch.randperm(count, generator=generator)
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])
    yield from parts


class Trainer:
    """Trains `network` on `images` for an `objective`.

    Parameters
    ----------
    network : (B, 3, H, W) normalised images -> logits (B, 1, H, W)
    images : (N, H, W, 3) uint8 RGB
    objective : see `Objective`
    schedule : see `Schedule`
    device : where to train; the images are kept there if they take less than a quarter of its free memory
    checkpoint : resume state
    name : for the log
    """

    def __init__(
        self,
        network: SaliencyNet,
        images: np.ndarray,
        objective: Objective,
        schedule: Schedule,
        device: torch.device,
        checkpoint: Checkpoint,
        name: str,
    ):
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images = _place(torch.from_numpy(images), device)
        self.objective = objective
        self.schedule = schedule
        self.device = device
        self.checkpoint = checkpoint
        self.name = name
        self.optimiser = torch.optim.Adam(_groups(network, schedule), weight_decay=schedule.weight_decay)
        self.history: list[dict[str, float]] = []

    def fit(self) -> list[dict[str, float]]:
        """Train to the end, from the last saved epoch where there is one; return the history, one row per epoch."""
        self._resume()
        schedule, start = self.schedule, time.monotonic()
        first = len(self.history)
        say(
            f"{self.name}: {len(self.images)} images of {self.images.shape[1]}x{self.images.shape[2]}, "
            f"{schedule.epochs} epochs from {first}, on {describe_device(self.device)}"
        )
        if self.device.type == "cuda":
            say(f"{self.name}: sums on a GPU are not deterministic; another run may differ in the last digits")
        for epoch in range(first, schedule.epochs):
            row = self._epoch(epoch)
            self.history.append(row)
            self._save()
            left = (time.monotonic() - start) / (epoch + 1 - first) * (schedule.epochs - epoch - 1)
            say(
                f"{self.name}: epoch {epoch + 1}/{schedule.epochs}, loss {row['loss']:.4f}, "
                f"{row['images_per_s']:.1f} images/s, {duration(left)} left"
            )
        return self.history

    def _epoch(self, epoch: int) -> dict[str, float]:
        # One seed per epoch: an epoch is the same whether or not the training was interrupted before it.
        seed_everything(self.schedule.seed * 100_003 + epoch)
        generator = torch.Generator().manual_seed(self.schedule.seed * 100_003 + epoch)
        lr_factor = self.schedule.lr_factor(epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * lr_factor
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.network.train()
        total = torch.zeros((), device=self.device)
        watch = Stopwatch(self.device)
        began = time.perf_counter()
        for rows in batches(len(self.images), self.schedule.batch_size, generator):
            total += self._step(rows, generator, watch)
        loss = float(total) / len(self.images)
        took = time.perf_counter() - began
        seconds = watch.seconds()
        if not np.isfinite(loss):
            raise UsodError(f"{self.name}: the loss is not finite in epoch {epoch + 1}; use a smaller learning rate")
        return {
            "epoch": epoch + 1,
            "loss": loss,
            "lr": self.schedule.lr * lr_factor,
            "seconds": took,
            "images_per_s": len(self.images) / took,
            "seconds_data": seconds["data"],
            "seconds_network": seconds["network"],
            "seconds_observe": seconds["observe"],
            "device_memory_mb": self._peak_memory() / 2**20,
        }

    def _step(self, rows: Tensor, generator: torch.Generator, watch: Stopwatch) -> Tensor:
        watch.start()
        pixels = self.images[rows.to(self.images.device)].to(self.device, non_blocking=True)
        inputs = as_input(self.network, pixels)
        flipped = torch.zeros(len(rows), dtype=torch.bool)
        if self.schedule.flip:
            flipped = torch.rand(len(rows), generator=generator) < 0.5
        inputs = _flip(inputs, flipped)
        watch.stop("data")
        with autocast(self.device, self.schedule.precision):
            logits = self.network(inputs)
        probability = _flip(logits.float().sigmoid(), flipped)[:, 0]
        losses = self.objective.loss(probability, rows)
        self.optimiser.zero_grad(set_to_none=True)
        losses.mean().backward()
        self.optimiser.step()
        watch.stop("network")
        # A prediction that is not a number ends the epoch with a clear line; until then it must not stop the CRF.
        self.objective.observe(probability.detach().nan_to_num(0.5), rows)
        watch.stop("observe")
        return losses.detach().sum()

    def _peak_memory(self) -> float:
        return float(torch.cuda.max_memory_allocated(self.device)) if self.device.type == "cuda" else 0.0

    def _save(self) -> None:
        self.checkpoint.save(
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "objective": self.objective.state_dict(),
                "history": self.history,
            }
        )

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.objective.load_state_dict(state["objective"])
            self.history = state["history"]
            say(f"{self.name}: going on after epoch {len(self.history)}")


def _groups(network: SaliencyNet, schedule: Schedule) -> list[dict[str, Any]]:
    """Backbone and new layers, with their learning rates; frozen parameters are left out."""
    parts = ((network.backbone, schedule.lr), (network.head, schedule.lr * schedule.head_lr_factor))
    groups = [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": lr, "base_lr": lr} for part, lr in parts
    ]
    return [group for group in groups if group["params"]]


def _flip(tensor: Tensor, rows: Tensor) -> Tensor:
    if not rows.any():
        return tensor
    return torch.where(rows.to(tensor.device)[:, None, None, None], tensor.flip(-1), tensor)


def _place(images: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if images.numel() < free / 4:
            return images.to(device)
    return images
