"""What the steps of a run cost: time, memory, memory of the device."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from usod.errors import UsodError
from usod.reporting import typeset
from usod.reporting.figures import PALETTE, panels

COLUMNS = ("step", "jobs", "seconds", "cpu_seconds", "memory_mb", "device_memory_mb")


Steps = Mapping[str, Callable[[Sequence[str]], str]]
"""System -> what it calls the job whose record lies at a place below `timings/DATASET/SYSTEM`."""


def cost_table(results: str | Path, systems: Steps | None = None) -> pd.DataFrame:
    """The steps of a run in the order in which they are computed.

    Parameters
    ----------
    results : folder of the workflow's results; `timings/` in it holds a record of Snakemake for each job
    systems : the systems, in their order

    Returns
    -------
    Columns `COLUMNS`: seconds are sums over the step's jobs, memory the largest of any job (NaN where a job was too
    short to be measured), device memory that of a training's GPU (0 on a CPU, NaN where there is no training)

    Raises
    ------
    UsodError
        If there are no records.
    """
    results, systems = Path(results), systems or {}
    rows = [
        {"step": step_of(path.relative_to(results / "timings"), systems), "path": path, **_record(path, results)}
        for path in sorted((results / "timings").rglob("*.tsv"))
    ]
    if not rows:
        raise UsodError(f"{results}/timings: no records of jobs there; run the workflow first")
    jobs = pd.DataFrame(rows)
    found = jobs.groupby("step", sort=False).agg(
        jobs=("path", "size"),
        seconds=("s", "sum"),
        cpu_seconds=("cpu_time", "sum"),
        memory_mb=("max_rss", "max"),
        device_memory_mb=("device_memory_mb", "max"),
    )
    last = ["oracles", "ablations", "prediction", "scoring", "report"]
    own = [group for step in found.index if (group := step.partition(":")[0]) not in last]
    groups = [*dict.fromkeys(["data", "maps", "features", *systems, *own]), *last]
    order = sorted(found.index, key=lambda step: (groups.index(step.partition(":")[0]), step))
    return found.loc[order].reset_index()[list(COLUMNS)]


def step_of(record: Path, systems: Steps | None = None) -> str:
    """The step to which a job's record belongs, by its place below `timings/`.

    `demo/deepusps/rbd/iter1.tsv` -> `deepusps: stage 1`.
    """
    first, *rest = record.with_suffix("").parts
    name = rest[-1] if rest else first
    if first in ("report", "export") or (len(rest) > 1 and rest[0] == "masks"):
        return "report"
    if first in ("predictions", "scores"):
        return {"predictions": "prediction", "scores": "scoring"}[first]
    if "variants" in rest:
        return "ablations"
    kind = rest[0] if len(rest) > 1 else "data"
    if kind == "maps":
        return f"maps: {name.partition('.')[0]}"
    if kind == "features":
        return "features"
    if kind == "oracle":
        return "oracles"
    if kind == "data":
        return "data"
    system = kind.partition("_")[0]
    step = (systems or {}).get(system)
    return f"{system}: {step(rest) if step else name.partition('.')[0]}"


def _record(path: Path, results: Path) -> dict[str, float]:
    try:
        record = pd.read_csv(path, sep="\t", na_values=["-"]).iloc[-1]
        numbers = {key: float(pd.to_numeric(record[key], errors="coerce")) for key in ("s", "cpu_time", "max_rss")}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UsodError(f"{path}: not a record of Snakemake ({error}); delete it") from error
    history = results / path.relative_to(results / "timings").with_suffix("") / "history.csv"
    memory = float("nan")
    if history.exists():
        memory = float(pd.read_csv(history).get("device_memory_mb", pd.Series(dtype=float)).max())
    return numbers | {"device_memory_mb": memory}


def cost_figure(costs: pd.DataFrame) -> Figure:
    """Time and largest memory of every step, as bars with their numbers."""
    figure, (left, right) = panels(2, height=0.9 + 0.22 * len(costs))
    places = range(len(costs))
    minutes = costs["seconds"] / 60
    memory = costs["memory_mb"].fillna(0) / 1024
    for axes, values, label in ((left, minutes, "Minutes, all jobs"), (right, memory, "Largest memory, GB")):
        bars = axes.barh(places, values, color=PALETTE[0], height=0.7)
        axes.bar_label(
            bars, [f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in values], fontsize=6, padding=2
        )
        axes.set_xlabel(label)
        axes.set_ylim(len(costs) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
    left.set_yticks(places, costs["step"], fontsize=7)
    right.set_yticks(places, [])
    return figure


def write_costs(costs: pd.DataFrame, path: str | Path) -> None:
    """Write a `cost_table` as CSV, Markdown or LaTeX, by the ending of `path`."""
    headings = ["Step", "Jobs", "Time ↓", "CPU time ↓", "Memory (GB) ↓", "Device memory (GB) ↓"]
    rows = [
        [
            row["step"],
            str(row["jobs"]),
            _duration(row["seconds"]),
            _duration(row["cpu_seconds"]),
            *(f"{row[key] / 1024:.2f}" if row[key] > 0 else "-" for key in ("memory_mb", "device_memory_mb")),
        ]
        for row in costs.to_dict("records")
    ]
    rows.append(
        [
            "all",
            str(costs["jobs"].sum()),
            _duration(costs["seconds"].sum()),
            _duration(costs["cpu_seconds"].sum()),
            "",
            "",
        ]
    )
    note = "Sums over the jobs of a step, which may have run side by side; memory of the largest job."
    typeset.write(
        path,
        {
            ".csv": lambda: costs.to_csv(index=False, float_format="%.2f"),
            ".md": lambda: typeset.markdown(headings, rows, "", note),
            ".tex": lambda: typeset.latex(headings, rows, "Time and memory", note),
        },
    )


def _duration(seconds: float) -> str:
    """3725 -> 1:02:05"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
