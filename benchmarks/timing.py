"""How the benchmarks time things."""

import time
from collections.abc import Callable, Sequence

import torch


def best_of(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """The best time of each call in seconds, the calls taking turns so that a busy machine slows them all alike."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            best[i] = min(best[i], time.perf_counter() - start)
    return best
