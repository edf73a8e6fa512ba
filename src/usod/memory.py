"""How much memory is left to this process: by its GPU, or by the machine and the control groups it runs in."""

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from usod.errors import UsodError
from usod.progress import say

if TYPE_CHECKING:
    import torch

# Names of the limit, of what is used, and of the part of it that the kernel gives back: pages of files not read lately.
UNIFIED = ("memory.max", "memory.current", "inactive_file")
LEGACY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


class _Share:
    """How many processes of one training count on this machine's memory."""

    processes = 1


def share_memory(processes: int) -> None:
    """Tell this process that `processes` of its kind run here: each then counts its part of what is free."""
    _Share.processes = processes


def available_memory(device: "torch.device") -> int:
    """Bytes that are free for what lies on a device: on the GPU itself, else `host_memory`."""
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host_memory()


def host_memory() -> int:
    """Bytes free in the machine and in the control groups of this process; its part, where processes share them."""
    return max(0, int(min(psutil.virtual_memory().available, left_by_control_groups()) / _Share.processes))


def fits(size: int) -> bool:
    """Whether an array of `size` bytes takes no more than half of what is free."""
    return size <= host_memory() / 2


def room(shape: tuple[int, ...], dtype: np.dtype, folder: Path) -> np.ndarray:
    """An array to fill: in memory, or in a temporary file in `folder` where it takes more than half of what is free.

    The kernel keeps as much of the file in memory as there is room for. It goes when the array goes.

    Raises
    ------
    UsodError
        If `folder` has no room for it either.
    """
    size = math.prod(shape) * dtype.itemsize
    if fits(size):
        return np.empty(shape, dtype)
    say(f"{size / 1e9:.3g} GB do not fit in memory, and are kept in a file in {folder}")
    with disk_explained(size, folder), tempfile.TemporaryFile(dir=folder) as file:
        allocate(file.fileno(), size)
        return np.memmap(file, dtype, "r+", shape=shape)


def allocate(file: int, size: int) -> None:
    """Give an open file its `size` bytes: a disk that is full is an error now, and not a crash later."""
    os.truncate(file, size)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)


@contextlib.contextmanager
def disk_explained(size: int, folder: Path) -> Iterator[None]:
    """Around the making of a file for an array of `size` bytes: UsodError where `folder` has no room for it."""
    try:
        yield
    except OSError as error:
        raise UsodError(
            f"{folder}: {size / 1e9:.3g} GB of images fit neither in memory nor here ({error.strerror}); "
            "use a smaller size, fewer images, or another machine"
        ) from error


def left_by_control_groups(system: Path = Path("/")) -> float:
    """Bytes until the tightest control group of this process is full: a container's, or that of a cluster's job.

    Parameters
    ----------
    system : root of the file system, whose proc/self/cgroup and sys/fs/cgroup are read

    Returns
    -------
    infinity where no group limits memory, or the kernel has none
    """
    return min((_left(group, names) for group, names in _groups(system)), default=math.inf)


def _groups(system: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The memory groups of this process, each with those around it, whose limits hold too."""
    mount = system / "sys/fs/cgroup"
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = Path(path.lstrip("/"))
        if "memory" in controllers.split(","):
            top, names = mount / "memory", LEGACY
        elif not controllers:
            top, names = mount, UNIFIED
        else:
            continue
        # In a container the path may be the host's, which is not there: its own group is then the top.
        for around in (inside, *inside.parents):
            yield top / around, names


def _left(group: Path, names: tuple[str, str, str]) -> float:
    limit, used, idle = names
    try:
        most = (group / limit).read_text().strip()
        if most == "max":
            return math.inf
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(most) - int((group / used).read_text()) + int(statistics.get(idle, 0))
    except (OSError, ValueError):  # no such group in this container, or the root group, which has no limit
        return math.inf
