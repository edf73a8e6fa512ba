"""Which device this process may use, how it is leased from a machine with several GPUs, and seeds.

Snakemake counts GPUs but hands none out. `usod devices run` takes free ones by locking a file per physical device; the
kernel drops the lock when the holder dies, so no lease outlives its job.
"""

import contextlib
import ctypes
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from usod.errors import UsageError, UsodError
from usod.progress import say

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")
Precision = Literal["auto", "float32", "bf16"]
DETERMINISTIC = "USOD_DETERMINISTIC"
"""Environment variable that asks for the same bits in every run, also on a GPU."""
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


def autocast(device: "torch.device", precision: Precision) -> Any:
    """bf16 autocast where it is asked for, or by itself on a GPU that computes it natively."""
    import torch

    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" or (precision == "auto" and native):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def sent(values: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    """The values on a device. From the CPU to a GPU they are copied behind the program's back, which does not wait."""
    on_the_way = device.type == "cuda" and values.device.type == "cpu"
    # Only from pinned memory does such a copy not wait.
    return (values.pin_memory() if on_the_way else values).to(device, non_blocking=on_the_way)


def start_device(name: str, threads: int) -> "torch.device":
    """`pick_device` for a command, which then works there.

    It becomes the current CUDA device, which times and memory are measured on. PyTorch's CPU threads are set (0: its
    own choice), to no more than `cpu_cores`. Where the environment has `USOD_DETERMINISTIC`, algorithms are used that
    give the same bits every time, slower ones on a GPU; PyTorch stops where it has none.
    """
    import torch

    if threads:
        torch.set_num_threads(min(threads, cpu_cores()))
    if os.environ.get(DETERMINISTIC):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        torch.use_deterministic_algorithms(True)
    device = pick_device(name)
    if device.index is not None:
        torch.cuda.set_device(device)
    return device


def cpu_cores() -> int:
    """CPU cores that this process may run on.

    More threads than these wait for one another: eight on two cores take four times the time of the processor.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_device(device: "torch.device") -> str:
    """For a log: `cpu (2 threads)` or `cuda (NVIDIA H200)`."""
    import torch

    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return f"cuda ({torch.cuda.get_device_name(device)})"


class AsMemoryAllows:
    """`work` on many items: on all at once, and once the device has run out of memory on no more than it had room for.

    What fitted is remembered from call to call.
    """

    def __init__(self) -> None:
        self._most: int | None = None

    def __call__(self, work: Callable[[slice], Result], count: int) -> Iterator[Result]:
        """Results for consecutive parts of `count` items, in order.

        Raises
        ------
        torch.OutOfMemoryError
            If a single item is too much.
        """
        import torch

        start, size = 0, min(count, self._most or count)
        while start < count:
            try:
                result = work(slice(start, min(start + size, count)))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            else:
                yield result
                start += size
                continue
            # After the except clause: as long as the error is at hand, so is what the failed work had in memory.
            self._most = size = -(-size // 2)
            say(f"the GPU is out of memory; going on with {size} at a time")
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


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
    return list(_installed_devices())


def _installed_devices() -> dict[str, str]:
    """Number -> UUID of the GPUs that nvidia-smi lists; empty where there is none."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return {}
    listed = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False)
    return dict(re.findall(r"^GPU (\d+):.*\(UUID: ([^)]+)\)", listed.stdout, flags=re.MULTILINE))


def physical_keys(pool: Sequence[str]) -> dict[str, str]:
    """Name in CUDA_VISIBLE_DEVICES -> what identifies the device, whether it was named by number or by UUID.

    One caller may say 0 and another GPU-5a0c...: it is one device. UUIDs may be shortened as CUDA allows. Names that
    nvidia-smi does not know (MIG instances, fake devices of tests) stand for themselves.
    """
    installed = _installed_devices()
    keys = {}
    for name in pool:
        uuids = [uuid for uuid in installed.values() if name.startswith("GPU-") and uuid.startswith(name)]
        keys[name] = installed.get(name) or (uuids[0] if len(uuids) == 1 else name)
    return keys


def machine_has_gpu() -> bool:
    """Whether this machine has an NVIDIA device node; quick, without asking the driver."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


class Lease(NamedTuple):
    """`devices` that are held, and the open files whose locks hold them."""

    devices: list[str]
    files: list[int]


@contextlib.contextmanager
def lease(count: int, pool: Sequence[str], locks: Path = LOCKS, poll: float = 0.2) -> Iterator[Lease]:
    """Hold `count` devices of `pool`; wait until so many are free. All or none, so that two waiters cannot deadlock.

    Raises
    ------
    UsodError
        If the pool is smaller than `count`, or the folder of the locks cannot be used.
    """
    if count > len(pool):
        raise UsodError(f"{count} GPUs asked for, but only {len(pool)} are visible here; ask for fewer")
    keys = physical_keys(pool)
    told = False
    while True:
        held: dict[str, int] = {}
        try:
            for name in random.sample(list(pool), len(pool)):
                file = _try_lock(locks, keys[name])
                if file is not None:
                    held[name] = file
                if len(held) == count:
                    yield Lease(sorted(held), list(held.values()))
                    return
        finally:
            for file in held.values():
                os.close(file)
        if not told:
            say(f"waiting for {count} of the GPUs {', '.join(pool)}")
            told = True
        time.sleep(poll * random.uniform(0.5, 1.5))


def _try_lock(locks: Path, key: str) -> int | None:
    """An open file with the lock of a device, or None while another holds it.

    The lock belongs to the open file: it lasts until the last process that inherited it is gone, however it dies.
    """
    path = locks / f"{re.sub(r'[^A-Za-z0-9-]', '_', key)}.lock"
    try:
        try:
            file = os.open(path, os.O_RDONLY)  # another user's file can be read, and need not be written
        except FileNotFoundError:
            locks.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # another user's folder
                locks.chmod(0o1777)
            file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsodError(f"{path}: the lock of a GPU cannot be opened ({error.strerror}); remove {locks}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def run_leased(count: int, command: Sequence[str]) -> int:
    """Run `command` with `count` free GPUs in CUDA_VISIBLE_DEVICES; return its exit code.

    count = 0 hides every GPU. Where there is no GPU at all, and in a Slurm job that has no more than `count`, the
    command runs with the environment it was given. The command inherits the locks and dies with this process: when this
    one is killed, the devices are free once the command is really gone, and not before.
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
    with lease(count, pool, LOCKS / f"slurm-{job}" if job else LOCKS) as held:
        say(f"GPU {', '.join(held.devices)}")
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(held.devices)}
        return _run(command, environment | order, held.files)


def _run(command: Sequence[str], environment: dict[str, str], files: Sequence[int] = ()) -> int:
    try:
        process = subprocess.Popen(list(command), env=environment, pass_fds=files, preexec_fn=_die_with(os.getpid()))
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


def _die_with(parent: int) -> Callable[[], None] | None:
    """For the new process: on Linux the kernel kills it when its parent dies, even by kill -9."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask_the_kernel() -> None:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died in between
            os.kill(os.getpid(), signal.SIGKILL)

    return ask_the_kernel
