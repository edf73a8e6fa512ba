"""Snakemake as a child process: its events are shown as they come, and it is ended when that is asked for.

What Snakemake does comes through the logger plugin `usod`, as one JSON object a line. Its standard error is then only
what the workflow itself says: the errors of jobs, the scores, where the results are.
"""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usod.progress import say
from usod.running.display import RunDisplay

EVENTS = "USOD_EVENTS"  # as the plugin reads it
PLACES = "USOD_PLACES"  # the file in which the workflow says where its results will be
# What the workflow says at its end: a name and a path in the run's folder.
PLACE = re.compile(r"(Masks|Model|Gallery|Report): (\S.*)")
# Of what it says when it runs nothing.
_NOISE = (
    "Building DAG",
    "Assuming unrestricted",
    "Using shell",
    "Would remove",
    "Select jobs",
    "Complete log",
    "This was",
)


@dataclass
class Run:
    """What a Snakemake did."""

    code: int = 0
    planned: int = 0  # jobs
    started: int = 0
    failed: set[str] = field(default_factory=set)
    plan: str = ""  # Snakemake's table of jobs
    reasons: list[str] = field(default_factory=list)  # of a dry run: each job, and why it would run
    nothing_to_do: bool = False
    said: list[str] = field(default_factory=list)  # other information
    errors: list[tuple[str, str]] = field(default_factory=list)  # class of the exception, text
    places: list[tuple[str, str]] = field(default_factory=list)  # what a user looks for at the end, and where it is
    stopped: BaseException | None = None  # KeyboardInterrupt or SystemExit, when that was why it ended
    heard: bool = False  # whether any event came: without one Snakemake refused its command line


def tell_places(places: Sequence[tuple[str, str]]) -> None:
    """Called by the workflow when it has been read: what `usod run` shows at the end, as pairs (what, path).

    Snakemake itself says nothing at its end when there is nothing to do.
    """
    if file := os.environ.get(PLACES):
        with contextlib.suppress(OSError):  # a job of a cluster inherits the name, not the file
            Path(file).write_text(json.dumps(places), encoding="utf-8")


def supervise(command: Sequence[str], environment: Mapping[str, str], folder: Path, display: RunDisplay) -> Run:
    """Run `command`, a Snakemake with `--logger usod`, to its end.

    Ctrl-C and SIGTERM are handed on: at the first Snakemake and its jobs end in order, at the second and third they are
    killed.
    """
    with tempfile.TemporaryDirectory() as desk:
        told = Path(desk, "places.json")
        run = _supervised(command, {**environment, PLACES: str(told)}, folder, display)
        if told.exists():
            run.places = [(what, place) for what, place in json.loads(told.read_text(encoding="utf-8"))]
    return run


def _supervised(command: Sequence[str], environment: Mapping[str, str], folder: Path, display: RunDisplay) -> Run:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command,
        env={**environment, EVENTS: str(writing)},
        pass_fds=[writing],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        # A group of its own: Ctrl-C in a terminal reaches this process only, which hands it on once.
        process_group=0,
    )
    os.close(writing)
    assert process.stderr is not None
    lines: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
    for kind, stream in (("event", os.fdopen(reading, encoding="utf-8")), ("text", process.stderr)):
        threading.Thread(target=_read, args=(kind, stream, lines), daemon=True).start()
    run = Run()
    listener = _Listener(run, folder, display)
    harder = iter((signal.SIGTERM, signal.SIGKILL))
    open_streams = 2
    while open_streams:
        try:
            kind, line = lines.get(timeout=1)
            if line is None:
                open_streams -= 1
            elif kind == "event":
                with contextlib.suppress(json.JSONDecodeError):  # cut off, as Snakemake was killed
                    listener.event(json.loads(line))
            else:
                listener.text(line)
        except queue.Empty:
            display.tick()
            if process.poll() is not None:
                break  # an orphan of a job may hold the streams open for ever
        except (KeyboardInterrupt, SystemExit) as stop:
            asked = signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM
            number = asked if run.stopped is None else next(harder, signal.SIGKILL)
            run.stopped = run.stopped or stop
            display.close()
            say("stopping: the jobs end first ...")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
    run.code = process.wait()
    display.close()
    listener.end()
    return run


def _read(kind: str, stream: Iterable[str], lines: "queue.SimpleQueue[tuple[str, str | None]]") -> None:
    for line in stream:
        lines.put((kind, line.rstrip("\n")))
    lines.put((kind, None))


class _Listener:
    """Makes a display and a `Run` of what Snakemake and its workflow say."""

    def __init__(self, run: Run, folder: Path, display: RunDisplay) -> None:
        self.run = run
        self._folder = folder
        self._display = display
        self._early: list[str] = []  # said before the first event

    def event(self, event: dict[str, Any]) -> None:
        run = self.run
        if not run.heard:
            run.heard = True
            self._flush()
        match event["event"]:
            case "run_info":
                run.plan = run.plan or event["text"].strip()
                run.planned = event["total"]
            case "job_started":
                if not run.started:
                    self._display.plan(run.planned)
                run.started += len(event["jobs"])
            case "job_info" if run.started:
                log = self._folder / event["logs"][0] if event["logs"] else None
                self._display.begin(event["job"], label(event), log)
            case "job_info":
                run.reasons.append(f"{label(event)}: {event['reason']}")
            case "job_finished":
                self._display.end(event["job"])
            case "job_error":
                self._failed(event)
            case "progress":
                self._display.count(event["done"], event["total"])
            case "error":
                run.errors.append((event["exception"], event["text"]))
            case None if event["text"].startswith("Nothing to be done"):
                run.nothing_to_do = True
            case None:
                self._said(event)

    def text(self, line: str) -> None:
        """A line of standard error: the workflow's own words."""
        place = PLACE.fullmatch(line)
        if place:
            pass  # shown at the end, with what was there already
        elif self.run.stopped is not None:
            pass  # each job says that it was stopped
        elif self.run.heard:
            say(line)
        else:
            self._early.append(line)

    def end(self) -> None:
        # Without any event these are several screens of Snakemake's usage, and a line on what is wrong with the call.
        if not self.run.heard:
            self.run.errors += [("CliException", line) for line in self._early[-1:]]
        else:
            self._flush()

    def _flush(self) -> None:
        for line in self._early:
            say(line)
        self._early.clear()

    def _failed(self, event: dict[str, Any]) -> None:
        job = self._display.running.get(event["job"])
        name = job.label if job else label(event)
        self._display.end(event["job"], failed=True)
        if self.run.stopped is None:
            logs = "".join(f", log: {self._folder / log}" for log in event["logs"])
            print(f"failed: {name}{logs}", file=sys.stderr, flush=True)
        self.run.failed.add(name)

    def _said(self, event: dict[str, Any]) -> None:
        text = event["text"]
        if event["level"] == "WARNING" and self.run.stopped is None:
            say(text)
        elif text and not text.startswith(_NOISE):
            self.run.said.append(text)


def label(event: Mapping[str, Any]) -> str:
    """`refine labels (photos rbd 0)`: a job by its rule and wildcards."""
    what = event["rule"].replace("_", " ")
    which = " ".join(value.strip("/") for value in event["wildcards"] if value)
    return f"{what} ({which})" if which else what
