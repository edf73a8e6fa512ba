"""Where a training keeps what it holds of every image: on its device where that fits, else in the machine's memory."""

import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from usod.devices import sent
from usod.memory import available_memory, host_memory


def place(values: Tensor, device: torch.device) -> Tensor:
    """The tensor on a GPU if it takes less than a quarter of what is free there, else in pinned memory.

    Several are kept for a training (images, labels, moving averages), beside the network and its activations. What is
    too much for the machine's memory too (`usod.memory.room`) stays where it is.
    """
    if device.type != "cuda":
        return values
    size = values.numel() * values.element_size()
    if size < available_memory(device) / 4:
        return values.to(device)
    return values.pin_memory() if size < host_memory() / 2 else values


def fetch(values: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """`values[rows]` on the device, for rows (B,) on the CPU, without waiting for the device."""
    if values.device.type == device.type:  # `cuda` and `cuda:0` are not equal, and the same
        return values[ROWS.on(rows, device)]
    return sent(values[rows], device)


def put(values: Tensor, rows: Tensor, new: Tensor) -> None:
    """`values[rows] = new`, for rows (B,) on the CPU, wherever the tensors lie."""
    values.index_copy_(0, ROWS.on(rows, values.device), new.to(values))


class SentRows:
    """Row numbers on the device. Images, labels and averages ask for those of the same batch: it is sent once."""

    def __init__(self) -> None:
        self._of: weakref.ref[Tensor] | None = None
        self._as: tuple[int, torch.device, Tensor] | None = None

    def on(self, rows: Tensor, device: torch.device) -> Tensor:
        """`rows` (B,), on the CPU, on a device."""
        if self._of is None or self._as is None or self._of() is not rows or self._as[:2] != (rows._version, device):
            self._of, self._as = weakref.ref(rows), (rows._version, device, sent(rows, device))
        return self._as[2]


ROWS = SentRows()


class Upcoming:
    """`rows` of the batch after the one that is trained on, (B,) on the CPU; None where nobody knows."""

    rows: Tensor | None = None


UPCOMING = Upcoming()


class ReadAhead:
    """`read(rows)`, from a file: that of the upcoming batch is done in a thread while this one is trained on.

    Parameters
    ----------
    read : rows (B,) -> (B, ...) on the CPU
    """

    def __init__(self, read: Callable[[Tensor], Tensor]):
        self._read = read
        self._thread = ThreadPoolExecutor(1, "read-ahead")  # started with the first batch that is read ahead
        self._begun: tuple[Tensor, Future[Tensor]] | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        begun = self._begun
        if begun is not None and torch.equal(begun[0], rows):
            self._begun = None
            values = begun[1].result()
        else:
            values = self._read(rows)
        # A batch may be asked for twice in a step: what was begun for the next one stays.
        wanted = UPCOMING.rows
        if wanted is not None and (self._begun is None or self._begun[0] is not wanted):
            self._begun = wanted, self._thread.submit(self._read, wanted)
        return values


class Kept:
    """Values of every image, kept where they fit: `kept[rows]`, for rows (B,) on the CPU, is on the device.

    What is too much for the memory, and so a file (`np.memmap`), is read ahead.

    Parameters
    ----------
    values : (N, ...)
    device : of the training
    """

    def __init__(self, values: np.ndarray | Tensor, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        whole = torch.as_tensor(values)
        self.values = place(whole, self.device)
        in_file = isinstance(values, np.memmap) and self.values is whole
        # By NumPy: PyTorch would start a second team of threads in the one that reads.
        self._ahead = ReadAhead(lambda rows: torch.from_numpy(values[rows.numpy()])) if in_file else None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Tensor) -> Tensor:
        if self._ahead is not None:
            return sent(self._ahead(rows), self.device)
        return fetch(self.values, rows, self.device)
