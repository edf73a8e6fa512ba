"""How the benchmarks time things, and how they say whether a goal is met."""

import sys
import time
from collections.abc import Callable, Sequence

import torch

MARK = "goal: "
"""What a line with a ratio begins with; `python benchmarks` gathers them."""


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


def judge(what: str, measured: float, unit: str, *, most: float = 0.0, least: float = 0.0, beside: str = "") -> None:
    """Print what was measured, its goal (at most or at least a number; neither: there is none) and whether it is met.

    Parameters
    ----------
    beside : what a peer took, or another remark
    """
    goal, met = ("", "") if not (most or least) else (f"<= {most:g} {unit}", "yes" if measured <= most else "no")
    if least:
        goal, met = f">= {least:g} {unit}", "yes" if measured >= least else "no"
    sys.stdout.write(f"{MARK}| {what} | {measured:.3g} {unit} | {beside} | {goal} | {met} |\n")
    sys.stdout.flush()


def lacking(what: str, package: str) -> None:
    """Print that a peer cannot be measured."""
    sys.stdout.write(f"{MARK}| {what} | not measured: {package} is not installed | | | |\n")
    sys.stdout.flush()
