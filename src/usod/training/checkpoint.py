"""Resume state of a training, kept apart from its results so that a failed job does not lose it."""

import contextlib
import hashlib
import itertools
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from usod.files import atomic_path
from usod.progress import say

RESUME = ".resume"
"""Hidden folder beside a model, with a folder for the resume state of each training that writes its model there."""


def resume_folder(work: str | None, model: Path) -> Path | None:
    """The folder of a training's resume state, for its option `--work` and the model that it writes.

    Parameters
    ----------
    work : a folder; None: `.resume/STEM` beside `model`; "none" or "": None comes back, and nothing is kept
    """
    if work is None:
        return model.parent / RESUME / model.stem
    return None if work in ("", "none") else Path(work)


class Checkpoint:
    """The state after the last whole epoch, in `work/state.pt`.

    A state is written beside the old one and swapped in, while the next epoch is trained: at paper scale it takes
    1.6 GB, and an epoch on a fast GPU hardly longer than writing it.

    Parameters
    ----------
    work : folder of its own for this training; None: nothing is kept
    identity : everything that determines the training (JSON-serialisable: configuration, digests of the inputs);
        a state left behind by a training of another identity is not used
    """

    def __init__(self, work: Path | None, identity: Any):
        self.path = work / "state.pt" if work else None
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self._writing: threading.Thread | None = None
        self._copy: Any = None  # of the last state: its tensors are filled again
        self._failure: BaseException | None = None

    def load(self) -> dict[str, Any] | None:
        """The saved state on the CPU, or None where there is none to go on from."""
        self.flush()
        if self.path is None or not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes the reader raise: the training can start afresh
            say(f"{self.path}: unreadable ({type(error).__name__}), starting from the first epoch")
            return None
        if state.get("identity") != self.identity:
            say(f"{self.path}: belongs to other settings or inputs, starting from the first epoch")
            return None
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Copy the state (nested dictionaries and lists of tensors and plain values) and begin to write it.

        Raises
        ------
        UsodError
            If the state before could not be written.
        """
        self.flush()
        if self.path is not None:
            self._copy = _copied({**state, "identity": self.identity}, self._copy)
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()  # the copies run behind the program's back
            self._writing = threading.Thread(target=self._write, args=(self.path, self._copy))
            self._writing.start()

    def flush(self) -> None:
        """Wait until the last state is on the disk; raise what went wrong with it."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        try:
            with contextlib.suppress(OSError):  # `discard` of another training may take away what was just made
                path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                torch.save(state, temporary)
        except BaseException as error:  # raised again by `flush`, in the thread of the training
            self._failure = error


def discard(work: Path | None) -> None:
    """Remove the resume state of a training whose results are written, and `.resume` with the last one in it."""
    if work is None:
        return
    shutil.rmtree(work, ignore_errors=True)
    if work.parent.name == RESUME:
        with contextlib.suppress(OSError):  # not empty: another training's
            work.parent.rmdir()


def _copied(value: Any, before: Any = None) -> Any:
    """The value with every tensor copied to the CPU, so that the training can change its own.

    The tensors of a copy from `before` are filled again where they are alike; copies from a GPU lie in pinned memory,
    which costs time to get and several times less to copy into.
    """
    if isinstance(value, Tensor):
        alike = isinstance(before, Tensor) and (before.shape, before.dtype) == (value.shape, value.dtype)
        copy = before if alike else torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return copy.copy_(value.detach(), non_blocking=True)
    if isinstance(value, dict):
        named = before if isinstance(before, dict) else {}
        return {key: _copied(item, named.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        listed = before[: len(value)] if isinstance(before, list) else []
        return [_copied(item, earlier) for item, earlier in itertools.zip_longest(value, listed)]
    return value
