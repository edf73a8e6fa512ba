"""A run on one screen: how far it is, what each job does, what failed, which trainings have ended."""

import time

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from usod.progress import duration
from usod.running.status import Job, Status, Training

_STYLES = {"running": "cyan", "finished": "green", "failed": "red", "killed": "red", "silent": "yellow"}


def screen(status: Status, rows: int = 40) -> RenderableType:
    """The run as something that a `rich` console prints, in about `rows` lines: of trainings the last are shown."""
    parts: list[RenderableType] = [_head(status)]
    if status.total:
        parts += [ProgressBar(total=status.total, completed=status.done, width=60), Text()]
    if status.jobs:
        parts.append(_running(status.jobs[: max(rows - 12, 5)]))
    if status.failed:
        parts.append(_failed(status))
    if left := [f"{rule} {done}/{total}" for rule, (done, total) in status.rules.items() if done < total]:
        parts.append(Text("to do: " + ", ".join(left).replace("_", " "), style="dim"))
    if status.stopped:
        parts.append(Text("stopped, will go on after their last epoch: " + ", ".join(status.stopped)))
    room = max(rows - 12 - len(status.jobs) - len(status.failed), 4)
    if status.trainings:
        parts.append(_ended(status.trainings, room))
    return Group(*parts)


def _head(status: Status) -> Text:
    text = Text(f"{status.folder}: ").append(status.state, style=_STYLES.get(status.state, ""))
    if status.total:
        text.append(f", {status.done} of {status.total} jobs done")
    if status.began:
        text.append(f", begun {time.strftime('%Y-%m-%d %H:%M', time.localtime(status.began))}")
        text.append(f" on {status.host}" if status.host else "")
    meant = {
        "none": "nothing has run here yet",
        "killed": "its Snakemake is gone; say the same again to go on",
        "silent": "locked by another machine, and no job has shown a sign of life for two minutes",
    }
    return text.append(f" ({meant[status.state]})" if status.state in meant else "")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold" if number == 0 else "crop")
    return table


def _running(jobs: list[Job]) -> Table:
    several = len({job.host for job in jobs}) > 1
    table = _table("job", "for", "done", "loss", "speed", "left", "last sign")
    for job in jobs:
        facts = job.facts
        done = f"epoch {facts['epoch']}/{facts['epochs']}" if "epoch" in facts else ""
        if "total" in facts:
            done = f"{facts['done']}/{facts['total']}"
        style = "" if job.state == "running" else _STYLES[job.state]
        sign = f"{duration(job.beat)} ago" if job.state != "killed" else "killed"
        table.add_row(
            Text(job.name + (f" on {job.host}" if several else ""), style=style),
            duration(job.seconds),
            done,
            f"{facts['loss']:.4f}" if "loss" in facts else "",
            f"{facts['speed']:.1f} {facts['unit']}/s" if "speed" in facts else "",
            duration(facts["left"]) if "left" in facts and job.state == "running" else "",
            Text(sign, style=style),
        )
    return table


def _failed(status: Status) -> Table:
    table = _table("failed", "log", "last line")
    for rule, log, line in status.failed:
        table.add_row(Text(rule.replace("_", " "), style="red"), log, Text(line, overflow="fold"))
    return table


def _ended(trainings: list[Training], room: int) -> Table:
    table = _table("training that has ended", "epochs", "loss", "images/s", "took")
    for training in trainings[-room:]:
        table.add_row(
            training.name,
            str(training.epochs),
            f"{training.loss:.4f}",
            f"{training.images_per_s:.1f}",
            duration(training.seconds),
        )
    if len(trainings) > room:
        table.add_row(f"and {len(trainings) - room} more")
    return table
