"""Progress: a bar on a terminal, plain lines with speed and time left in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from usod.heartbeat import tell

T = TypeVar("T")
INTERVAL = 20.0  # seconds between the lines of a log


class _Quiet:
    """Whether `--quiet` was given; errors are shown all the same."""

    on = False


def set_quiet(on: bool) -> bool:
    """Switch the messages of this process off (or on); returns `on`, as the callback of a command-line option must."""
    _Quiet.on = on
    return on


def say(text: str) -> None:
    """One line for the person or the log, on standard error, at once."""
    if not _Quiet.on:
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """`75.2` -> `1:15`; `3700` -> `1:01:40`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress(items: Iterable[T], total: int, what: str, unit: str = "image") -> Iterator[T]:
    """Pass `items` on, showing how many of `total` (0: unknown) are done, how fast, and how long the rest takes."""
    if _Quiet.on:
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(items, total=total or None, desc=what, unit=unit, file=sys.stderr, dynamic_ncols=True)
        return
    units = f"{unit}es" if unit.endswith("ch") else f"{unit}s"
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        speed = done / max(now - start, 1e-9)
        known = {"total": total, "left": max(total - done, 0) / speed} if total else {}
        tell(what=what, done=done, unit=units, speed=speed, **known)
        if now - last >= INTERVAL:
            left = f", {duration(max(total - done, 0) / speed)} left" if total else ""
            say(f"{what}: {done}{f'/{total}' if total else ''}, {speed:.2f} {units}/s{left}")
            last = now
    took = time.monotonic() - start
    say(f"{what}: {done} {units} in {took:.1f} s ({done / max(took, 1e-9):.2f} {units}/s)")
