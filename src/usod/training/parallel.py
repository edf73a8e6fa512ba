"""One training on one device, or the same training shared by several processes with a device each.

Data-parallel as in Goyal et al. (2017): every process holds the whole network, takes its part of each batch, and the
gradients are averaged, so that N devices do the steps that one would do with the same batch. Lightning Fabric starts
the processes and connects them; it is imported only where there are several.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from usod.errors import UsageError, UsodError
from usod.progress import say, set_quiet

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Process:
    """The process of a training that runs on one device, and the interface of `ParallelProcess`."""

    rank = 0
    size = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def part(self, batch: Tensor) -> Tensor:
        """This process's share of the images of a batch, (b,): all of them."""
        return batch

    def connect(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Callable[[Tensor], Tensor]:
        """The network's forward pass; its gradients become those of all processes."""
        return network

    def backward(self, loss: Tensor) -> None:
        """Gradients of the mean over the processes of their losses."""
        loss.backward()

    def gather(self, values: Tensor, batch: Tensor) -> Tensor:
        """The values (b, ...) of this process's part -> those of the whole batch (B, ...), in its order."""
        return values

    def sum(self, value: Tensor) -> Tensor:
        """Sum of a tensor over the processes."""
        return value


class ParallelProcess(Process):
    """One of several processes that train together."""

    def __init__(self, fabric: "Fabric") -> None:
        super().__init__(fabric.device)
        self.rank, self.size = fabric.global_rank, fabric.world_size
        self._fabric = fabric

    def part(self, batch: Tensor) -> Tensor:
        """Contiguous parts, as equal as can be; empty for the last ones where the batch has too few images."""
        return batch.tensor_split(self.size)[self.rank]

    def connect(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Callable[[Tensor], Tensor]:
        trained = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.training]
        if trained and self.device.type == "cuda":
            # In place: the caller's network keeps its parameters, and its statistics are those of the whole batch.
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        elif trained:
            raise UsageError("batch norm can be trained in several processes on GPUs only; freeze it or use one device")
        module, _ = self._fabric.setup(network, optimiser, move_to_device=False)
        return module

    def backward(self, loss: Tensor) -> None:
        self._fabric.backward(loss)

    def gather(self, values: Tensor, batch: Tensor) -> Tensor:
        parts = [len(part) for part in batch.tensor_split(self.size)]
        padded = values.new_zeros(max(parts), *values.shape[1:])
        padded[: len(values)] = values
        gathered = self._fabric.all_gather(padded)
        return torch.cat([values[:length] for values, length in zip(gathered, parts, strict=True)])

    def sum(self, value: Tensor) -> Tensor:
        return torch.as_tensor(self._fabric.all_reduce(value, reduce_op="sum"))


def processes(device: str, count: int) -> int:
    """How many processes train on `count` devices: one where `--device auto` was to find GPUs and there are none."""
    return 1 if device == "auto" and not torch.cuda.is_available() else max(count, 1)


def run(count: int, device: torch.device, function: Callable[..., None], *arguments: Any) -> None:
    """`function(process, *arguments)` in `count` processes with a device each. Their results are files.

    Parameters
    ----------
    count : 1: in this process
    device : the device of a single process, and the type of device for several: `cuda` takes the first `count`
    function, arguments : picklable where count > 1

    Raises
    ------
    UsageError
        If there are fewer GPUs than `count`, or `device` names one of them.
    UsodError
        What the function raises in any process; the others are stopped.
    """
    if count == 1:
        function(Process(device), *arguments)
        return
    if device.type == "cuda" and torch.cuda.device_count() < count:
        raise UsageError(f"--devices {count}: only {torch.cuda.device_count()} GPUs are visible here; ask for fewer")
    if device.index is not None:
        raise UsageError(f"--device {device}: several devices are asked for, use --device {device.type}")
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment
    from lightning_fabric.strategies import DDPStrategy
    from torch.multiprocessing import ProcessRaisedException

    # Its own environment: Fabric would take a Slurm job of one task for one process of many.
    strategy = DDPStrategy(cluster_environment=LightningEnvironment(), start_method="spawn")
    fabric = Fabric(accelerator="gpu" if device.type == "cuda" else "cpu", devices=count, strategy=strategy)
    say(f"{count} processes train together")
    threads = max(1, torch.get_num_threads() // count)
    try:
        fabric.launch(_run_one, threads, function, arguments)
    except ProcessRaisedException as error:
        # The exception comes as its traceback's text.
        line = re.search(r"^usod\.errors\.(UsodError|UsageError): (.*)", error.msg, flags=re.MULTILINE)
        if line is None:
            raise
        raise (UsageError if line[1] == "UsageError" else UsodError)(line[2]) from None


def _run_one(fabric: "Fabric", threads: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(threads)
    if fabric.global_rank > 0:
        set_quiet(True)
    function(ParallelProcess(fabric), *arguments)
