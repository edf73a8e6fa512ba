"""Where the time of a step goes, on a CPU and on a GPU that works behind it."""

import time
from collections import defaultdict

import torch


class Stopwatch:
    """Sums the time between `start` and the `stop`s that follow, by name.

    On CUDA the marks are events in the stream: they cost no synchronisation until `seconds` is asked for.
    """

    def __init__(self, device: torch.device):
        self._cuda = device.type == "cuda"
        self._spans: list[tuple[str, torch.cuda.Event | float, torch.cuda.Event | float]] = []
        self._last: torch.cuda.Event | float = 0.0

    def _mark(self) -> "torch.cuda.Event | float":
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def start(self) -> None:
        self._last = self._mark()

    def stop(self, name: str) -> None:
        """The time since the mark before belongs to `name`."""
        now = self._mark()
        self._spans.append((name, self._last, now))
        self._last = now

    def seconds(self) -> dict[str, float]:
        """Name -> seconds so far."""
        if self._cuda:
            torch.cuda.synchronize()
        sums: defaultdict[str, float] = defaultdict(float)
        for name, begin, end in self._spans:
            if isinstance(begin, float) or isinstance(end, float):
                sums[name] += float(end) - float(begin)  # type: ignore[arg-type]
            else:
                sums[name] += begin.elapsed_time(end) / 1000
        return sums
