"""What a job of the workflow says of itself while it works, for `usod status`: a small JSON file a job.

The workflow names the folder, below the one that it runs in. A job on another machine of a cluster finds the same
folder on the shared disk. The date of a file is the job's heartbeat; a job that ends removes its file, one that is
killed cannot.
"""

import contextlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLACE = ".snakemake/usod-jobs"
BEAT = 10.0  # seconds between two heartbeats
_FOLDER = "USOD_JOBS"
_FILE = "USOD_JOB"  # inherited by the processes of a training that has several
_PAUSE = 2.0  # seconds between two writings of what `tell` is told
# They start jobs, or look at them, and are none.
_NO_JOBS = ("run", "status", "devices")


class _Told:
    """When this process wrote last."""

    at = 0.0


def gather(folder: Path) -> None:
    """Called by the workflow: the jobs that this process starts say in `folder` what they do."""
    os.environ[_FOLDER] = str(folder.absolute())


def forget(folder: Path) -> None:
    """Remove what killed jobs left in `folder`; called when a run starts."""
    for file in folder.glob("*.json"):
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > 6 * BEAT:
                file.unlink()


@contextlib.contextmanager
def beating(words: list[str]) -> Iterator[None]:
    """While the command `words` (without the program's name) is at work in a workflow, its file is there and beats."""
    folder = os.environ.get(_FOLDER)
    if not folder or not words or words[0] in _NO_JOBS:
        yield
        return
    file = Path(folder, f"{platform.node()}-{os.getpid()}.json")
    stop = threading.Event()
    os.environ[_FILE] = str(file)
    started = {"host": platform.node(), "pid": os.getpid(), "started": time.time(), "words": words}
    with contextlib.suppress(OSError):  # nobody can look, and the work goes on
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, started)
    threading.Thread(target=_beat, args=(file, stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        del os.environ[_FILE]
        with contextlib.suppress(OSError):
            file.unlink()


def tell(**facts: Any) -> None:
    """How far this job is (JSON values by name, in place of those told before); written every two seconds at most."""
    now = time.monotonic()
    if _FILE not in os.environ or now - _Told.at < _PAUSE:
        return
    _Told.at = now
    file = Path(os.environ[_FILE])
    with contextlib.suppress(OSError, ValueError):
        _write(file, {**json.loads(file.read_text(encoding="utf-8")), **facts})


def _write(file: Path, facts: dict[str, Any]) -> None:
    """Whole or not at all; not flushed to the disk, as `atomic_path` does: nothing is lost with it."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}")
    with open(handle, "w", encoding="utf-8") as out:  # noqa: PTH123
        json.dump(facts, out)
    Path(name).replace(file)


def _beat(file: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(file)
