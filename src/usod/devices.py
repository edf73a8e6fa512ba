"""Which device this process may use, how it is leased from a machine with several GPUs, and seeds.

Snakemake counts GPUs but hands none out. `usod devices run` takes free ones by locking a file per physical device; the
kernel drops the lock when the holder dies, so no lease outlives its job.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from usod.errors import UsageError, UsodError
from usod.progress import say

if TYPE_CHECKING:
    import torch

LOCKS = Path(tempfile.gettempdir()) / "usod-devices"


def pick_device(name: str = "auto") -> "torch.device":
    """`auto` (CUDA where there is any, else the CPU), `cpu`, `cuda` or `cuda:N` -> torch.device.

    Raises
    ------
    UsageError
        For another name.
    UsodError
        If CUDA is asked for and cannot be used: nothing falls back to the CPU in silence.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"--device {name}: use auto, cpu, cuda or cuda:N")
    if name != "cpu" and not torch.cuda.is_available():
        raise UsodError(f"--device {name}: PyTorch finds no usable CUDA device; use --device cpu or auto")
    device = torch.device(name)
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise UsodError(f"--device {name}: there are only {torch.cuda.device_count()} CUDA devices")
    return device


def start_device(name: str, threads: int) -> "torch.device":
    """`pick_device` for a command: also sets PyTorch's CPU threads (0: its own choice)."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    return pick_device(name)


def describe_device(device: "torch.device") -> str:
    """For a log: `cpu (2 threads)` or `cuda (NVIDIA H200)`."""
    import torch

    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return f"cuda ({torch.cuda.get_device_name(device)})"


def available_memory(device: "torch.device") -> int:
    """Bytes that are free on a device; on a CPU, what the machine and the control group of this process leave."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = 8 * 2**30  # a guess for systems that do not tell
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        free = 1024 * int(found[1]) if found else free
    with contextlib.suppress(OSError, ValueError):  # the value is "max" where there is no limit
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text() for name in ("memory.max", "memory.current"))
        free = min(free, int(limit) - int(used))
    return max(free, 0)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch (all devices)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (libraries draw from the global generator)
    torch.manual_seed(seed)


def visible_devices() -> list[str]:
    """The physical devices that this process may use, as CUDA_VISIBLE_DEVICES names them.

    The caller's CUDA_VISIBLE_DEVICES if it is set (empty: none), else all that nvidia-smi lists.
    """
    limit = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limit is not None:
        return [name.strip() for name in limit.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return []
    listed = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False)
    return re.findall(r"^GPU (\d+):", listed.stdout, flags=re.MULTILINE)


def machine_has_gpu() -> bool:
    """Whether this machine has an NVIDIA device node; quick, without asking the driver."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


@contextlib.contextmanager
def lease(count: int, pool: Sequence[str], locks: Path = LOCKS, poll: float = 0.2) -> Iterator[list[str]]:
    """Hold `count` devices of `pool`; wait until so many are free. All or none, so that two waiters cannot deadlock.

    Raises
    ------
    UsodError
        If the pool is smaller than `count`.
    """
    if count > len(pool):
        raise UsodError(f"{count} GPUs asked for, but only {len(pool)} are visible here; ask for fewer")
    locks.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # another user's folder
        locks.chmod(0o1777)
    told = False
    while True:
        with contextlib.ExitStack() as held:
            taken = []
            for name in random.sample(list(pool), len(pool)):
                lock = FileLock(locks / f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock", mode=0o666)
                try:
                    held.enter_context(lock.acquire(blocking=False))
                except Timeout:
                    continue
                taken.append(name)
                if len(taken) == count:
                    yield sorted(taken)
                    return
        if not told:
            say(f"waiting for {count} of the GPUs {', '.join(pool)}")
            told = True
        time.sleep(poll * random.uniform(0.5, 1.5))


def run_leased(count: int, command: Sequence[str]) -> int:
    """Run `command` with `count` free GPUs in CUDA_VISIBLE_DEVICES; return its exit code.

    count = 0 hides every GPU. Where there is no GPU at all, and in a Slurm job that has no more than `count`, the
    command runs with the environment it was given. The lock stays in this process, so that children which outlive the
    command do not keep the device.
    """
    environment = dict(os.environ)
    pool = visible_devices()
    job = environment.get("SLURM_JOB_ID")
    # Slurm has chosen, unless this is an allocation in which several such commands share its devices.
    if job is not None and len(pool) <= count:
        return _run(command, environment)
    if count == 0:
        return _run(command, environment if job else environment | {"CUDA_VISIBLE_DEVICES": ""})
    if not pool:
        say(f"no GPU is visible; running on the CPU (asked for {count})")
        return _run(command, environment)
    with lease(count, pool, LOCKS / f"slurm-{job}" if job else LOCKS) as devices:
        say(f"GPU {', '.join(devices)}")
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(devices)}
        return _run(command, environment | order)


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    try:
        process = subprocess.Popen(list(command), env=environment)
    except FileNotFoundError:
        raise UsageError(f"{command[0]}: command not found") from None
    previous = {
        number: signal.signal(number, lambda received, _: process.send_signal(received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        code = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
