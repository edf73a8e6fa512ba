"""One training on one device, or the same training shared by several processes with a device each.

Data-parallel as in Goyal et al. (2017): every process holds the whole network, takes its part of each batch, and the
gradients are averaged, so that N devices do the steps that one would do with the same batch. Lightning Fabric starts
the processes and connects them; it is imported only where there are several.

Every process needs every image: which ones its parts of the batches hold is drawn anew in every epoch. Parts of the
data set instead of parts of the batches would make other batches than one device has, and so another training.
"""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from usod.data.store import Store
from usod.errors import UsageError, UsodError
from usod.files import write_text
from usod.memory import allocate, disk_explained, fits, room, share_memory
from usod.progress import say, set_quiet
from usod.training.graphed import Graphed

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Process:
    """The process of a training that runs on one device, and the interface of `ParallelProcess`."""

    rank = 0
    size = 1

    _graphed: Graphed | None = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def part(self, batch: Tensor) -> Tensor:
        """This process's share of the images of a batch, (b,): all of them."""
        return batch

    def connect(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Callable[..., Any]:
        """The network's forward pass; its gradients become those of all processes."""
        self._graphed = Graphed(network) if self.device.type == "cuda" else None
        return self._graphed or network

    def disconnect(self) -> None:
        """Let go of what `connect` keeps on the device."""
        self._graphed = None

    def backward(self, loss: Tensor) -> None:
        """Gradients of the mean over the processes of their losses."""
        loss.backward()
        if self._graphed is not None:
            self._graphed.consumed()

    def gather(self, values: Tensor, batch: Tensor) -> Tensor:
        """The values (b, ...) of this process's part -> those of the whole batch (B, ...), in its order."""
        return values

    def sum(self, value: Tensor) -> Tensor:
        """Sum of a tensor over the processes."""
        return value

    def array(self, shape: tuple[int, ...], folder: Path, fill: Callable[[np.ndarray], object]) -> np.ndarray:
        """An array of uint8 that `fill` has filled, to be read only; what is too much for the memory lies in `folder`.

        Raises
        ------
        UsodError
            If the folder has no room for it either.
        """
        out = room(shape, np.dtype(np.uint8), folder)
        fill(out)
        return out

    def read_all(self, store: Store, ids: Sequence[str] | None = None) -> np.ndarray:
        """Rows of a store, all or those of `ids` in their order: (n, ...) uint8, to be read only (see `array`)."""
        keys = store.ids if ids is None else ids
        return self.array((len(keys), *store.shape), store.path.parent, lambda out: store.read_into(out, keys))


class ParallelProcess(Process):
    """One of several processes that train together."""

    def __init__(self, fabric: "Fabric") -> None:
        super().__init__(fabric.device)
        self.rank, self.size = fabric.global_rank, fabric.world_size
        self._fabric = fabric

    def part(self, batch: Tensor) -> Tensor:
        """Contiguous parts, as equal as can be; empty for the last ones where the batch has too few images."""
        return batch.tensor_split(self.size)[self.rank]

    def connect(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Callable[..., Any]:
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

    def array(self, shape: tuple[int, ...], folder: Path, fill: Callable[[np.ndarray], object]) -> np.ndarray:
        """One for each process or, where they are too much for the memory together, one for all, which the first fills.

        It is a file that has a name only until all have opened it.
        """
        size, first = math.prod(shape), self.rank == 0
        file, name = -1, None
        if first and not fits(size):
            say(f"{size / 1e9:.3g} GB do not fit in memory {self.size} times; the processes share a file in {folder}")
            with disk_explained(size, folder):
                file, name = tempfile.mkstemp(prefix=".shared-", dir=folder)
                os.truncate(file, size)
        name = self._fabric.broadcast(name)
        if name is None:
            out = np.empty(shape, np.uint8)
            fill(out)
            return out
        out = np.memmap(name, np.uint8, "r+", shape=shape)
        self._fabric.barrier()
        if first:
            Path(name).unlink()
            with disk_explained(size, folder):
                allocate(file, size)
            os.close(file)
            fill(out)
        self._fabric.barrier()
        return out

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
    from torch.multiprocessing.spawn import ProcessException

    # Its own environment: Fabric would take a Slurm job of one task for one process of many. Statistics of batch norms
    # are the same in all processes already; to send them before a forward pass would spoil the pass before it.
    environment = LightningEnvironment()
    strategy = DDPStrategy(cluster_environment=environment, start_method="spawn", broadcast_buffers=False)
    fabric = Fabric(accelerator="gpu" if device.type == "cuda" else "cpu", devices=count, strategy=strategy)
    say(f"{count} processes train together")
    threads = max(1, torch.get_num_threads() // count)
    with tempfile.TemporaryDirectory() as folder:
        try:
            fabric.launch(_run_one, threads, Path(folder), function, arguments)
        except ProcessException:
            # Of the process that was the first to end: it may have failed only because another one was gone.
            for told in sorted(Path(folder).iterdir()):
                raise (UsageError if told.name == UsageError.__name__ else UsodError)(told.read_text()) from None
            raise


def _run_one(
    fabric: "Fabric", threads: int, folder: Path, function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """One process. An error that its user can mend is also written into `folder`, in a file of the error's name."""
    torch.set_num_threads(threads)
    share_memory(fabric.world_size)
    if fabric.global_rank > 0:
        set_quiet(True)
    try:
        function(ParallelProcess(fabric), *arguments)
    except UsodError as error:
        write_text(folder / type(error).__name__, str(error))
        raise
