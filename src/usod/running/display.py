"""How far a run of the workflow is: a bar on a terminal, a line for each finished job in a log."""

import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from usod.progress import INTERVAL, duration, say


@dataclass
class RunningJob:
    """A job that was started: what it is, and the log that it writes."""

    label: str
    log: Path | None
    since: float = field(default_factory=time.monotonic)

    def describe(self) -> str:
        """`refine labels (rbd 0), 3:20: epoch 4/10 ...`, with the last line of the job's own log."""
        last = last_line(self.log) if self.log else ""
        return f"{self.label}, {duration(time.monotonic() - self.since)}" + (f": {last}" if last else "")


class RunDisplay:
    """Jobs done and total, and what runs now; on standard error."""

    def __init__(self, quiet: bool = False) -> None:
        self.running: dict[int, RunningJob] = {}
        self._quiet = quiet
        self._done = self._total = 0
        self._spoken = time.monotonic()
        self._bar: tqdm | None = None

    def plan(self, total: int) -> None:
        """So many jobs will run."""
        self._total = total
        self._spoken = time.monotonic()
        if sys.stderr.isatty() and not self._quiet:
            self._bar = tqdm(
                total=total,
                file=sys.stderr,
                bar_format="{n_fmt}/{total_fmt} jobs |{bar:16}| {elapsed}{desc}",
                leave=False,
                dynamic_ncols=True,
            )

    def begin(self, number: int, label: str, log: Path | None) -> None:
        """A job starts."""
        self.running[number] = RunningJob(label, log)
        self.tick()

    def end(self, number: int, *, failed: bool = False) -> None:
        """A job is done, or has failed (its error is shown elsewhere)."""
        job = self.running.pop(number, None)
        if job is None or failed:
            return
        self._done += 1
        if self._bar is None:
            took = duration(time.monotonic() - job.since)
            self._line(f"{self._done}/{self._total} {job.label}, {took}")

    def count(self, done: int, total: int) -> None:
        """What Snakemake itself counts; it can add jobs while it runs."""
        self._done, self._total = done, total
        if self._bar is not None:
            self._bar.total = total
            self._bar.n = done
        self.tick()

    def tick(self) -> None:
        """Show what runs now: at once on a terminal, in a log only when nothing else was said for a while."""
        jobs = list(self.running.values())
        if self._bar is not None:
            # What is wider than the terminal would wrap, and leave a copy at each refresh.
            room = shutil.get_terminal_size().columns - 48
            text = "; ".join(job.describe() if len(jobs) == 1 else job.label for job in jobs)
            self._bar.set_description_str(f"  {text[: max(room, 0)]}" if text else "", refresh=True)
        elif jobs and time.monotonic() - self._spoken >= INTERVAL:
            self._line(f"{self._done}/{self._total} done; now " + "; ".join(job.describe() for job in jobs))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, text: str) -> None:
        self._spoken = time.monotonic()
        say(text)


def last_line(file: Path, size: int = 2000) -> str:
    """The last line with anything on it in the last `size` bytes of a log; empty where there is none."""
    try:
        with file.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(log.tell() - size, 0))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    return next((line for line in reversed(lines) if line), "")
