"""Resume state of a training, kept apart from its results so that a failed job does not lose it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from usod.files import atomic_path
from usod.progress import say


class Checkpoint:
    """The state after the last whole epoch, in `work/state.pt`.

    Parameters
    ----------
    work : folder of its own for this training; None: nothing is kept
    identity : everything that determines the training (JSON-serialisable: configuration, digests of the inputs);
        a state left behind by a training of another identity is not used
    """

    def __init__(self, work: Path | None, identity: Any):
        self.path = work / "state.pt" if work else None
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def load(self) -> dict[str, Any] | None:
        """The saved state on the CPU, or None where there is none to go on from."""
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
        if self.path is not None:
            with atomic_path(self.path) as temporary:
                torch.save({**state, "identity": self.identity}, temporary)
