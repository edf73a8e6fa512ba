"""One data set's table: this run's systems beside the rows that a paper prints for the same data set.

Every row says which F its F is, and which human labels went into the method; seeds of one system become one row with
mean and standard deviation, as DeepUSPS reports its three runs.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from usod.errors import UsageError, UsodError
from usod.evaluation.benchmark import MEASURES
from usod.human_labels import join
from usod.reporting import typeset
from usod.reporting.published import published

OURS = "this run"
_NOTE = "In percent; ± is the standard deviation over training runs. Compare F only where 'Which F' is the same."
Read = TypeVar("Read")

LEADING = ("system", "group", "source", "n", "seeds", "f", "f_std", "f_definition", "pretraining_labels")

HEADINGS = {
    "precision": "Precision",
    "recall": "Recall",
    "f_fixed": "F@.5",
    "f_adaptive": "F adaptive",
    "f_mean": "F mean",
    "f_max": "F max",
    "f_weighted": "F weighted",
    "s_measure": "S",
    "e_mean": "E mean",
    "e_max": "E max",
    "e_adaptive": "E adaptive",
}
"""Short headings of the measures that follow F and MAE."""

F_NAMES = {
    "f_fixed": "p > 0.5",
    "f_adaptive": "p >= 2 mean",
    "f_mean": "mean over thresholds",
    "f_max": "max over thresholds",
    "f_weighted": "weighted",
    "unknown": "unknown",
}
"""What to print for each `f_definition`."""

_ALIASES = {
    "dut": "DUT-OMRON",
    "duto": "DUT-OMRON",
    "msra": "MSRA-B",
    "msbte": "MSRA-B",
    "msrabtest": "MSRA-B",
    "thur": "THUR15K",
    "pascal": "PASCAL-S",
    "duts": "DUTS-TE",
}


def score_table(
    json_paths: Mapping[str, str | Path],
    dataset: str,
    *,
    reference: str | Sequence[str] | None = "deepusps_table1",
    f: str = "f_fixed",
) -> pd.DataFrame:
    """The published rows for `dataset`, in the paper's order, then a row for every system of this run.

    Parameters
    ----------
    json_paths : system -> the JSON file that `evaluate` wrote. Systems named `NAME-seed0`, `NAME-seed1`, ... become one
        row NAME: mean, and standard deviation with n - 1 in the denominator (NaN for a single seed).
    dataset : key of the test set; case and punctuation do not matter (`canonical_dataset`). For a data set that the
        paper does not have there are only this run's rows.
    reference : a key of `usod.reporting.published.TABLES`, or several, or None for this run's rows only
    f : the key of a score that is this run's `f`; the default is the F of the DeepUSPS paper

    Returns
    -------
    Columns `LEADING` ("n" and "seeds" are counts, NaN for published rows), then every key of `MEASURES` with its
    deviation `<key>_std`, as fractions. A published F stands in `f` and, where its definition is known, also in the
    column of that definition.

    Raises
    ------
    UsageError
        If `f` is not an F of a score, or `reference` no table.
    UsodError
        If a file cannot be read, lacks a measure, or the seeds of a system were scored on different images.
    """
    if f not in MEASURES or not f.startswith("f_"):
        raise UsageError(
            f"f={f!r} is not an F of a score; use one of {', '.join(k for k in MEASURES if k[:2] == 'f_')}"
        )
    references = [reference] if isinstance(reference, str) else reference or []
    rows = [row for each in references for row in _published_rows(each, dataset)]
    rows += [_own_row(system, paths, f) for system, paths in _by_system(json_paths).items()]
    columns = [*LEADING, *(column for key in MEASURES for column in (key, f"{key}_std"))]
    return pd.DataFrame(rows, columns=columns)


def canonical_dataset(name: str) -> str:
    """The published name of a data set that is spelt "ecssd", "DUT-O", "msra_b", ...; a name unknown to us as it is."""
    key = re.sub(r"[^a-z0-9]", "", name.lower())
    known = {re.sub(r"[^a-z0-9]", "", each.lower()): each for each in published()["dataset"].unique()}
    return known.get(key) or _ALIASES.get(key, name)


def _published_rows(reference: str, dataset: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    frame = published(canonical_dataset(dataset), reference)
    for method, cells in frame.groupby("method", sort=False):
        first = cells.iloc[0]
        row = {"system": method, "group": first["group"], "source": f"{first['source']}, {first['table']}"}
        row["pretraining_labels"] = first["pretraining_labels"]
        for cell in cells.to_dict("records"):
            measure, definition = cell["measure"], cell["f_definition"]
            for key in (measure, definition) if definition in MEASURES else (measure,):
                row |= {key: cell["value"], f"{key}_std": cell["std"]}
            if measure == "f":
                row["f_definition"] = definition
        rows.append(row)
    return rows


def _by_system(json_paths: Mapping[str, str | Path]) -> dict[str, list[Path]]:
    systems: dict[str, list[Path]] = defaultdict(list)
    for name, path in json_paths.items():
        systems[re.sub(r"-seed\d+$", "", name)].append(Path(path))
    return systems


def _own_row(system: str, paths: list[Path], f: str) -> dict[str, Any]:
    scores = pd.DataFrame([read_score(path) for path in paths])
    if len(set(scores["n"])) > 1:
        counts = ", ".join(f"{path.name}: {n}" for path, n in zip(paths, scores["n"], strict=True))
        raise UsodError(f"{system}: its seeds were scored on different numbers of images ({counts}); score them alike")
    means, deviations = scores.mean(), scores.std()
    row = {"system": system, "group": OURS, "source": OURS, "n": int(means["n"]), "seeds": len(paths)}
    for key in MEASURES:
        row |= {key: means[key], f"{key}_std": deviations[key]}
    labels = join(*map(read_labels, paths))
    return row | {"f": means[f], "f_std": deviations[f], "f_definition": f, "pretraining_labels": labels}


def read_score(path: Path) -> dict[str, float]:
    """`n` and the keys of `MEASURES` from a JSON file of `usod evaluate`; UsodError if it is not one."""
    return _read(path, lambda document: {key: float(document[key]) for key in ("n", *MEASURES)})


def read_curves(path: Path) -> dict[str, list[float]]:
    """`Benchmark.curves()` from a JSON file of `usod evaluate`; UsodError if it has none."""
    return _read(path, lambda document: dict(document["curves"]))


def read_labels(path: Path) -> str:
    """The human labels behind the maps of a score, "unknown" where it does not say; UsodError if it is none."""
    return _read(path, lambda document: str(document.get("labels", "unknown")))


def _read(path: Path, part: Callable[[dict[str, Any]], Read]) -> Read:
    try:
        return part(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsodError(f"{path}: cannot be read ({error.strerror}); run `usod evaluate --json` first") from error
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise UsodError(f"{path}: not a score of `usod evaluate` ({error}); delete it and score again") from error


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a `score_table` as CSV (all columns, fractions), Markdown or LaTeX (percent), by the ending of `path`.

    Raises
    ------
    UsageError
        If the ending is not .csv, .md or .tex.
    """
    typeset.write(
        path,
        {
            ".csv": lambda: frame.to_csv(index=False, float_format="%.6f"),
            ".md": lambda: to_markdown(frame),
            ".tex": lambda: to_latex(frame),
        },
    )


def to_markdown(frame: pd.DataFrame) -> str:
    """The table in percent, as Markdown."""
    headings, rows = _printed(frame)
    return typeset.markdown(headings, [cells for _, cells in rows], note=_NOTE)


def to_latex(frame: pd.DataFrame) -> str:
    """The table in percent, as a LaTeX tabular for the booktabs package; a rule between groups of rows."""
    headings, rows = _printed(frame)
    return typeset.latex(headings, [c for _, c in rows], note=_NOTE, groups=[group for group, _ in rows])


def _printed(frame: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings, and (group, cells) of every row; measures that no row has are left out."""
    extra = [key for key in HEADINGS if frame[key].notna().any()]
    headings = ["Method", "Group", "F ↑", "MAE ↓", "Which F", *(f"{HEADINGS[key]} ↑" for key in extra)]
    headings += ["Human labels", "Source"]
    rows = []
    for _, row in frame.iterrows():
        numbers = [typeset.percent(row["f"], row["f_std"]), typeset.percent(row["mae"], row["mae_std"])]
        which = F_NAMES.get(row["f_definition"], str(row["f_definition"]))
        others = [typeset.percent(row[key], row[f"{key}_std"]) for key in extra]
        words = [str(row["pretraining_labels"]) or "not stated", row["source"]]
        rows.append((row["group"], [row["system"], row["group"], *numbers, which, *others, *words]))
    return headings, rows
