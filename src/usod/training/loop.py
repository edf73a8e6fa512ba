"""The one training loop: images in memory, an objective per system, exact resume after every epoch."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from usod.devices import Precision, autocast, describe_device, seed_everything
from usod.errors import UsodError
from usod.heartbeat import tell
from usod.models.saliency_net import SaliencyNet
from usod.progress import duration, say
from usod.settings.sections import Section
from usod.training.checkpoint import Checkpoint
from usod.training.inputs import Inputs
from usod.training.objective import Objective
from usod.training.parallel import Process
from usod.training.placement import UPCOMING, Kept, put
from usod.training.stopwatch import Stopwatch
from usod.training.views import Augmentation, View
from usod.training.weight_average import WeightAverage


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; see the keys of the same names in `usod.settings.config`."""

    epochs: int
    batch_size: int
    lr: float
    optimiser: Literal["adam", "sgd"] = "adam"
    lr_decay: Literal["constant", "poly", "step", "linear"] = "constant"
    lr_every: Literal["epoch", "step"] = "epoch"
    lr_end: float = 0.0
    milestones: Sequence[int] = ()
    head_lr_factor: float = 1.0
    learnt: frozenset[str] = frozenset()  # parameters of the head that have learnt before: none of the factor for them
    encoder_from: int = 1
    weight_decay: float = 0.0
    nesterov: bool = True
    flip: bool = False
    augment: Augmentation | None = None
    size: int | None = None
    precision: Precision = "auto"
    average: float = 0.0
    seed: int = 0

    @classmethod
    def of(cls, settings: Section, lr: float, seed: int, **more: Any) -> "Schedule":
        """The schedule in a step's settings, with this training's learning rate, seed, and what else they lack."""
        names = [f.name for f in fields(cls) if f.name not in ("lr", "seed") and hasattr(settings, f.name)]
        return cls(lr=lr, seed=seed, **{name: getattr(settings, name) for name in names}, **more)

    def lr_factor(self, epoch: float) -> float:
        """Factor of the learning rate in epoch 0, 1, ...: 1, (1 - epoch / epochs)^0.9, or 0.1 to the milestones passed.

        With `linear` it falls from 1 to `lr_end` in a straight line. With `lr_every: step` the share of the epoch that
        is over counts too. Milestones count epochs from 1: with 10 the tenth epoch is the first that learns slower.
        """
        if self.lr_decay == "step":
            return 0.1 ** sum(int(epoch) + 1 >= milestone for milestone in self.milestones)
        if self.lr_decay == "linear":
            return 1 - (1 - self.lr_end) * epoch / self.epochs
        return (1 - epoch / self.epochs) ** 0.9 if self.lr_decay == "poly" else 1.0


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

    Nothing in a step waits for the device: a GPU is always given its next work before it has done the last.

    Parameters
    ----------
    network : (B, 3, H, W) normalised images -> logits (B, 1, H, W)
    inputs : what it takes of every image
    objective : see `Objective`
    schedule : see `Schedule`; a batch is shared among the processes that train together
    process : the device, and the part in the training
    checkpoint : resume state, written by the first process
    name : for the log
    """

    def __init__(
        self,
        network: SaliencyNet,
        inputs: Inputs,
        objective: Objective,
        schedule: Schedule,
        process: Process,
        checkpoint: Checkpoint,
        name: str,
    ):
        self.device = process.device
        self.network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inputs = inputs
        self.objective = objective
        self.schedule = schedule
        self.process = process
        self.checkpoint = checkpoint
        self.name = name
        self.optimiser = _optimiser(network, schedule, fused=self.device.type == "cuda")
        self.average = WeightAverage(self.network, schedule.average) if schedule.average else None
        self.history: list[dict[str, float]] = []
        self._broken = torch.zeros((), device=self.device)  # predictions of this epoch that are not finite
        self._predictions: Kept | None = None  # of this epoch, where the objective observes them at its end

    def fit(self) -> list[dict[str, float]]:
        """Train to the end, from the last saved epoch where there is one; return the history, one row per epoch."""
        self._resume()
        schedule, start = self.schedule, time.monotonic()
        first = len(self.history)
        say(
            f"{self.name}: {len(self.inputs)} images of {'x'.join(map(str, self.inputs.size))}, "
            f"{schedule.epochs} epochs from {first}, on {describe_device(self.device)}"
        )
        if self.device.type == "cuda":
            exact = torch.are_deterministic_algorithms_enabled()
            torch.backends.cudnn.benchmark = not exact  # all batches but the last are of one shape
            if not exact:
                say(f"{self.name}: sums on a GPU are not deterministic (deterministic: true); last digits may differ")
        self.network.train()
        self._forward = self.process.connect(self.network, self.optimiser)
        if first == 0:
            self._look()
        try:
            for epoch in range(first, schedule.epochs):
                row = self._epoch(epoch)
                self.history.append(row)
                self._look()
                if self.process.rank == 0:
                    self._save()
                left = (time.monotonic() - start) / (epoch + 1 - first) * (schedule.epochs - epoch - 1)
                say(
                    f"{self.name}: epoch {epoch + 1}/{schedule.epochs}, loss {row['loss']:.4f}, "
                    f"{row['images_per_s']:.1f} images/s, {duration(left)} left"
                )
        finally:
            UPCOMING.rows = None
            self.process.disconnect()
            self.checkpoint.flush()
        if self.average is not None:
            self.average.apply()
        return self.history

    def _epoch(self, epoch: int) -> dict[str, float]:
        # One seed per epoch: an epoch is the same whether or not the training was interrupted before it.
        seed_everything(self.schedule.seed * 100_003 + epoch)
        generator = torch.Generator().manual_seed(self.schedule.seed * 100_003 + epoch)
        lr_factor = self._set_lr(epoch)
        self.objective.begin(epoch + 1)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        total, self._broken = torch.zeros(2, device=self.device)
        watch = Stopwatch(self.device)
        began = time.perf_counter()
        steps = list(batches(len(self.inputs), self.schedule.batch_size, generator))
        for number, rows in enumerate(steps):
            if self.schedule.lr_every == "step":
                self._set_lr(epoch + number / len(steps))
            upcoming = steps[number + 1 : number + 2]
            UPCOMING.rows = self._share(upcoming[0])[0] if upcoming else None
            self._tell(epoch, number / len(steps), began)
            total += self._step(rows, generator, watch)
        self._observe_all(watch)
        loss, broken = self.process.sum(torch.stack([total, self._broken])).tolist()
        loss /= len(self.inputs)
        took = time.perf_counter() - began
        seconds = watch.seconds()
        if broken or not np.isfinite(loss):
            what = f"{broken:.0f} of {len(self.inputs)} predictions are" if broken else "the loss is"
            raise UsodError(f"{self.name}: {what} not finite in epoch {epoch + 1}; lower lr, or set precision: float32")
        return {
            "epoch": epoch + 1,
            "loss": loss,
            "lr": self.schedule.lr * lr_factor,
            "seconds": took,
            "images_per_s": len(self.inputs) / took,
            **{f"seconds_{part}": seconds[part] for part in ("data", "network", "crf", "average")},
            "device_memory_mb": self._peak_memory() / 2**20,
        }

    def _tell(self, epoch: int, share: float, began: float) -> None:
        """Say how far the training is: `share` of this epoch, which `began` then, is done."""
        seconds = (time.perf_counter() - began) / share if share else math.nan  # of the first epoch, as it goes on
        last = self.history[-1] if self.history else {"seconds": seconds, "loss": math.nan}
        facts = {
            "loss": last["loss"],
            "speed": len(self.inputs) / last["seconds"],
            "left": last["seconds"] * (self.schedule.epochs - epoch - share),
        }
        if self.process.rank == 0:
            known = {name: value for name, value in facts.items() if math.isfinite(value)}
            tell(what=self.name, epoch=epoch + 1, epochs=self.schedule.epochs, unit="images", **known)

    def _set_lr(self, epoch: float) -> float:
        factor = self.schedule.lr_factor(epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * factor if epoch + 1 >= group["from_epoch"] else 0.0
        return factor

    def _step(self, batch: Tensor, generator: torch.Generator, watch: Stopwatch) -> Tensor:
        watch.start()
        schedule = self.schedule
        view = View.draw(len(batch), generator, schedule.flip, schedule.augment, schedule.size)
        rows, idle = self._share(batch)
        shown = view.part((lambda values: values[:1]) if idle else self.process.part)
        inputs, named = self.inputs.of(self.network, rows, shown)
        watch.stop("data")
        with autocast(self.device, self.schedule.precision):
            output = self.objective.see(self._forward, inputs, named)
        prediction = self._finite(self.objective.read(output, shown))
        losses = self.objective.loss(prediction, rows) * (0.0 if idle else 1.0)
        self.optimiser.zero_grad(set_to_none=True)
        # The gradient is averaged over the processes: together they take the mean over the batch.
        self.process.backward(losses.sum() * (self.process.size / len(batch)))
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        watch.stop("network")
        seen = prediction.detach() if isinstance(prediction, Tensor) else prediction
        if self.objective.group:
            self._keep(self.process.gather(seen[: 0 if idle else None], batch), batch)
        else:
            self._observe(seen, batch, rows, idle, watch)
        watch.stop("average")
        return losses.detach().sum()

    def _observe(self, seen: Any, batch: Tensor, rows: Tensor, idle: bool, watch: Stopwatch) -> None:
        """Have the objective remember what it observes of the predictions of this process's `rows` of a batch."""
        observed = self.objective.observe(seen, rows)
        watch.stop("crf")
        if observed is not None:
            self.objective.remember(self.process.gather(observed[: 0 if idle else None], batch), batch)

    def _keep(self, predictions: Tensor, batch: Tensor) -> None:
        if self._predictions is None:
            whole = torch.empty(len(self.inputs), *predictions.shape[1:], dtype=predictions.dtype)
            self._predictions = Kept(whole, self.device)
        put(self._predictions.values, batch, predictions)

    def _observe_all(self, watch: Stopwatch) -> None:
        """The same for the predictions of an epoch that were kept, in groups of images that follow one another."""
        if self._predictions is None:
            return
        watch.start()
        for batch in torch.arange(len(self.inputs)).split(self.process.size * self.objective.group):
            rows, idle = self._share(batch)
            self._observe(self._predictions[rows], batch, rows, idle, watch)
            watch.stop("average")

    def _share(self, batch: Tensor) -> tuple[Tensor, bool]:
        """This process's rows of a batch, and whether there are none.

        With fewer images than processes all must take the step all the same: one of the images, whose loss then counts
        nothing.
        """
        rows = self.process.part(batch)
        return (rows, False) if len(rows) else (batch[:1], True)

    def _finite(self, prediction: Any) -> Any:
        """The prediction, any value of it that is not finite counted and replaced.

        The count ends the epoch with a clear line, before anything of it is kept. Until then such a value must neither
        stop a loss or the CRF, nor spread over its image; and to look at once would be to wait for the device.
        """
        if isinstance(prediction, list):
            return [seen._replace(logits=self._finite(seen.logits)) for seen in prediction]
        if not isinstance(prediction, Tensor):
            return prediction
        self._broken += (~prediction.detach().isfinite()).flatten(1).any(1).sum()
        return prediction.nan_to_num(0.5, 1.0, 0.0)

    def _look(self) -> None:
        self.network.eval()
        self.objective.look(self.network)
        self.network.train()

    def _peak_memory(self) -> float:
        # What is reserved: a recorded pass's memory (`Graphed`) does not count as allocated.
        return float(torch.cuda.max_memory_reserved(self.device)) if self.device.type == "cuda" else 0.0

    def _save(self) -> None:
        self.checkpoint.save(
            {
                "network": self.network.learnt_state(),
                "optimiser": self.optimiser.state_dict(),
                "objective": self.objective.state_dict(),
                "average": self.average.state_dict() if self.average is not None else {},
                "history": self.history,
            }
        )

    def _resume(self) -> None:
        state = self.checkpoint.load()
        if state is not None:
            self.network.load_state_dict(state["network"], strict=not self.network.config.frozen)
            self.optimiser.load_state_dict(state["optimiser"])
            self.objective.load_state_dict(state["objective"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.history = state["history"]
            say(f"{self.name}: going on after epoch {len(self.history)}")


def _optimiser(network: SaliencyNet, schedule: Schedule, fused: bool) -> torch.optim.Optimizer:
    groups, decay = _groups(network, schedule), schedule.weight_decay
    if schedule.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=schedule.nesterov, weight_decay=decay, fused=fused)
    return torch.optim.Adam(groups, weight_decay=decay, fused=fused)


def _groups(network: SaliencyNet, schedule: Schedule) -> list[dict[str, Any]]:
    """Backbone, old and new layers, with their learning rates and first epochs; frozen parameters are left out."""
    head = {f"head.{name}": parameter for name, parameter in network.head.named_parameters()}
    parts = (
        (list(network.backbone.parameters()), schedule.lr, schedule.encoder_from),
        ([head[name] for name in head if name in schedule.learnt], schedule.lr, 1),
        ([head[name] for name in head if name not in schedule.learnt], schedule.lr * schedule.head_lr_factor, 1),
    )
    groups: list[dict[str, Any]] = [
        {"params": [p for p in part if p.requires_grad], "lr": lr, "base_lr": lr, "from_epoch": first}
        for part, lr, first in parts
    ]
    return [group for group in groups if group["params"]]
