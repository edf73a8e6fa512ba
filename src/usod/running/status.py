"""What a run of the workflow is doing, read from its files alone: also where its jobs work on other machines.

Read are Snakemake's own log and lock, what its jobs say of themselves (`usod.heartbeat`), and the histories and resume
states of trainings.
"""

import csv
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from usod.errors import UsageError
from usod.heartbeat import BEAT, PLACE
from usod.running.display import last_line
from usod.running.lock import at_work

# Without a heartbeat for so long a job of another machine is taken for dead; its shared disk may show dates late.
SILENT = 12 * BEAT
# Folders of results in which no training lies, but may be 100,000 files.
_NO_TRAININGS = {"masks", "predictions", "logs", "timings", "scores", "report", "data", "weights", "models", "export"}
_OUTPUT = re.compile(r"--(out(-\w+)*|per-image|csv|figure)")


@dataclass(frozen=True)
class Job:
    """A job of the workflow that is at work, or was killed at it.

    Attributes
    ----------
    name : the verb and what it makes, `deepusps refine (demo/deepusps/rbd/iter0)`
    host, pid : where it runs
    seconds : since its start
    beat : seconds since it last showed a sign of life
    state : `running`; `killed`: its process is gone; `silent`: on another machine, and no sign for two minutes
    facts : what it last told: what, epoch, epochs, loss, done, total, unit, speed (a second), left (seconds)
    """

    name: str
    host: str
    pid: int
    seconds: float
    beat: float
    state: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Training:
    """A training that has ended: the folder of its history, and the last row with the sum of the seconds."""

    name: str
    epochs: int
    loss: float
    images_per_s: float
    seconds: float


@dataclass
class Status:
    """One run.

    Attributes
    ----------
    state : `running`, `finished`, `failed`, `stopped`, `killed`, `silent` (locked by another machine, no sign), `none`
    host, began : where Snakemake runs or ran, and when it was started (seconds since 1970)
    done, total : jobs of this run
    rules : rule -> (done, total)
    failed : rule -> log and the last line of it, of jobs that failed
    stopped : folders of trainings that will go on after their last epoch
    """

    folder: Path
    state: str = "none"
    host: str = ""
    began: float | None = None
    done: int = 0
    total: int = 0
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}


def folder_of(given: Path) -> Path:
    """The folder that a workflow runs in, for itself or the `results` in it.

    Raises
    ------
    UsageError
        If no run has left anything there.
    """
    for folder in (given, given.absolute().parent if given.name == "results" else given):
        if (folder / ".snakemake").is_dir():
            return folder
    raise UsageError(
        f"{given}: no run of usod there (no folder .snakemake); give the --out of usod run, or its results"
    )


def read_status(folder: Path) -> Status:
    """What the run in `folder` does, or did last."""
    status = Status(folder)
    log = _log(folder)
    if log is not None:
        _read_log(status, log)
    status.jobs = sorted(_jobs(folder / PLACE), key=lambda job: -job.seconds)
    for place, names in _training_folders(folder / "results"):
        name = str(place.relative_to(folder / "results"))
        if "history.csv" in names and (ended := _training(name, place / "history.csv")):
            status.trainings.append(ended)
        busy = any(name in job.name for job in status.jobs if job.state == "running")
        if not busy and any(place.glob(".resume/*/state.pt")):
            status.stopped.append(name)
    status.state = _state(status, log)
    return status


def _state(status: Status, log: Path | None) -> str:
    if log is None:
        return "none"
    if not any((status.folder / ".snakemake/locks").glob("*")):
        if status.total == status.done:
            return "finished"
        return "failed" if status.failed else "stopped"
    if status.host in ("", platform.node()):
        return "running" if any("snakemake" in name for name in at_work(status.folder)) else "killed"
    signs = [job.beat for job in status.jobs] + [time.time() - log.stat().st_mtime]
    return "running" if min(signs) < SILENT else "silent"


# ---- Snakemake's log


def _log(folder: Path) -> Path | None:
    """The log of the last run; `--unlock` and a call that was refused leave logs without jobs."""
    logs = sorted(folder.glob(".snakemake/log/*.snakemake.log"), reverse=True)
    for log in logs[:20]:
        if re.search(r"^(Job stats:|Nothing to be done)", log.read_text(errors="replace"), re.MULTILINE):
            return log
    return None


def _read_log(status: Status, log: Path) -> None:
    text = log.read_text(encoding="utf-8", errors="replace")
    if host := re.search(r"^ +Host: (.*)$", text, re.MULTILINE):
        status.host = host[1]
    if date := re.search(r"^ +Date: (.*)$", text, re.MULTILINE):
        status.began = datetime.fromisoformat(date[1]).timestamp()
    table = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    for line in table[1].splitlines() if table else ():
        rule, count = line.split()
        status.rules[rule] = (0, int(count))
    status.total = status.rules.pop("total", (0, 0))[1]
    for rule in re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", text, re.MULTILINE):
        done, total = status.rules.get(rule, (0, 0))
        status.rules[rule] = (done + 1, max(total, done + 1))
    if steps := re.findall(r"^(\d+) of (\d+) steps \(", text, re.MULTILINE):
        status.done, status.total = map(int, steps[-1])  # it can add jobs while it runs
    for rule, rest in re.findall(r"^Error in rule (\w+):\n((?: .*\n)*)", text, re.MULTILINE):
        found = re.search(r"^ +log: (\S.*?)(?: \(check log.*)?$", rest, re.MULTILINE)
        path = found[1] if found else ""
        status.failed.append((rule, path, last_line(status.folder / path) if path else ""))
    status.failed = list(dict.fromkeys(status.failed))  # a job that is tried again


# ---- what jobs say of themselves


def _jobs(folder: Path) -> Iterator[Job]:
    now = time.time()
    for file in folder.glob("*.json"):
        try:
            facts, beat = json.loads(file.read_text(encoding="utf-8")), now - file.stat().st_mtime
        except (OSError, ValueError):
            continue  # it has just ended
        words, host, pid, started = (facts.pop(name) for name in ("words", "host", "pid", "started"))
        state = "running" if beat < SILENT else "silent"
        if host == platform.node() and not psutil.pid_exists(pid):
            state = "killed"
        yield Job(_name(words), host, pid, now - started, max(beat, 0.0), state, facts)


def _name(words: list[str]) -> str:
    """`deepusps refine (demo/deepusps/rbd/iter0)` of a command line: its verb, and what it makes."""
    verb = " ".join(words[: next((i for i, word in enumerate(words[:2]) if not word.isalpha()), 2)])
    verb = verb if words[0] not in ("predict", "evaluate", "features", "export") else words[0]
    made = next((words[i + 1] for i, word in enumerate(words[:-1]) if _OUTPUT.fullmatch(word)), "")
    path = Path(made.removeprefix("results/"))
    # A training's files lie in a folder of its own.
    shown = path.parent if path.stem in ("labels", "model") else path.with_suffix("")
    return f"{verb} ({shown})" if made else verb


# ---- trainings


def _training_folders(results: Path) -> Iterator[tuple[Path, list[str]]]:
    for place, folders, names in os.walk(results):
        folders[:] = sorted(set(folders) - _NO_TRAININGS) if Path(place) == results else sorted(folders)
        folders[:] = [name for name in folders if name != ".resume"]
        yield Path(place), names


def _training(name: str, history: Path) -> Training | None:
    try:
        with history.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        seconds = sum(float(row["seconds"]) for row in rows)
        last = rows[-1]
        return Training(name, len(rows), float(last["loss"]), float(last["images_per_s"]), seconds)
    except (OSError, ValueError, KeyError, IndexError):
        return None  # handed on unchanged, without an epoch; or no history of ours
