"""One data set's table: this run's systems beside the rows that a paper prints for the same data set.

Every row says under which protocol it was measured, and which human labels went into the method. A system has a row for
each protocol; its seeds are mean and standard deviation, as DeepUSPS reports its three runs.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from usod.errors import UsodError
from usod.evaluation import protocols
from usod.evaluation.benchmark import MEASURES
from usod.evaluation.protocols import PROTOCOLS
from usod.human_labels import join
from usod.reporting import typeset
from usod.reporting.published import published

OURS = "this run"
UNKNOWN = "unknown"
_NOTE = "In percent; ± is the standard deviation over training runs. Compare rows of one protocol only."
Read = TypeVar("Read")

LEADING = ("system", "group", "source", "protocol", "n", "seeds", "pretraining_labels")
SCORES = tuple(column for key in protocols.KEYS for column in (key, f"{key}_std"))
OWN = tuple(column for key in MEASURES if key != "mae" for column in (key, f"{key}_std"))

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
"""Short headings of the measures that usod's own protocol has beside `SCORES`."""

_SCORE_HEADINGS = {"f": "F ↑", "mae": "MAE ↓", "e": "E ↑", "iou": "IoU ↑", "accuracy": "Accuracy ↑"}

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
    leaks: str = "",
) -> pd.DataFrame:
    """The published rows for `dataset` and a row for every system of this run, protocol by protocol.

    First the protocols that the published rows have, in the order in which they appear, each followed by this run's
    rows under it; then this run's under the other protocols; last the published rows that do not say how they were
    measured.

    Parameters
    ----------
    json_paths : system -> the JSON file that `evaluate` wrote. Systems named `NAME-seed0`, `NAME-seed1`, ... become one
        row NAME: mean, and standard deviation with n - 1 in the denominator (NaN for a single seed).
    dataset : key of the test set; case and punctuation do not matter (`canonical_dataset`). For a data set that the
        paper does not have there are only this run's rows.
    reference : a key of `usod.reporting.published.TABLES`, or several, or None for this run's rows only
    leaks : a sentence on training images that are in the test set (`usod.data.leaks.leaked`)

    Returns
    -------
    Columns `LEADING` ("n" and "seeds" are counts, NaN for published rows), `SCORES`, and `OWN`, which only rows of the
    protocol "own" have; all fractions. `attrs["notes"]`: sentences to be read with it.

    Raises
    ------
    UsageError
        If `reference` is no table.
    UsodError
        If a file cannot be read, lacks a measure, or the seeds of a system were scored on different images.
    """
    references = [reference] if isinstance(reference, str) else reference or []
    rows = [row for each in references for row in _published_rows(each, dataset)]
    rows += [row for system, paths in _by_system(json_paths).items() for row in _own_rows(system, paths)]
    order = [*dict.fromkeys(row["protocol"] for row in rows if row["protocol"] != UNKNOWN), UNKNOWN]
    rows.sort(key=lambda row: order.index(row["protocol"]))
    frame = pd.DataFrame(rows, columns=[*LEADING, *SCORES, *OWN])
    frame.attrs["notes"] = [*_human_masks(rows), *([leaks] if leaks else [])]
    return frame


def _human_masks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is to be known where human masks of training images were learnt."""
    notes = []
    if any(re.search(r"\d+ human mask", str(row["pretraining_labels"])) for row in rows):
        notes.append("Human masks are of training images; corrections.csv of the training set names them.")
    if left_out := max((row.get("left_out", 0) for row in rows), default=0):
        notes.append(f"{left_out} images whose human masks were learnt are left out.")
    return notes


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
        row |= {key: first[key] for key in ("protocol", "pretraining_labels")}
        for cell in cells.to_dict("records"):
            row |= {cell["measure"]: cell["value"], f"{cell['measure']}_std": cell["std"]}
        rows.append(row)
    return rows


def _by_system(json_paths: Mapping[str, str | Path]) -> dict[str, list[Path]]:
    systems: dict[str, list[Path]] = defaultdict(list)
    for name, path in json_paths.items():
        systems[re.sub(r"-seed\d+$", "", name)].append(Path(path))
    return systems


def _own_rows(system: str, paths: list[Path]) -> list[dict[str, Any]]:
    """One row for each protocol under which all seeds of a system were scored."""
    scores = pd.DataFrame([read_score(path) for path in paths])
    if len(set(scores["n"])) > 1:
        counts = ", ".join(f"{path.name}: {n}" for path, n in zip(paths, scores["n"], strict=True))
        raise UsodError(f"{system}: its seeds were scored on different numbers of images ({counts}); score them alike")
    row = {"system": system, "group": OURS, "source": OURS, "n": int(scores["n"].iloc[0]), "seeds": len(paths)}
    row["pretraining_labels"] = join(*map(read_labels, paths))
    row["left_out"] = max(map(_read_left_out, paths))
    under = [read_protocols(path) for path in paths]
    rows: list[dict[str, Any]] = []
    for name in (name for name in under[0] if all(name in each for each in under)):
        measured = pd.DataFrame([each[name] for each in under])
        if name == "own":
            measured = measured.join(scores.drop(columns=["n", "mae"]))
        values = {str(key): value for key, value in measured.mean().items()}
        values |= {f"{key}_std": value for key, value in measured.std().items()}
        rows.append({**row, "protocol": name, **values})
    return rows


def read_score(path: Path) -> dict[str, float]:
    """`n` and the keys of `MEASURES` from a JSON file of `usod evaluate`; UsodError if it is not one."""
    return _read(path, lambda document: {key: float(document[key]) for key in ("n", *MEASURES)})


def read_protocols(path: Path) -> dict[str, dict[str, float]]:
    """Protocol -> the `protocols.KEYS` from a JSON file of `usod evaluate`; UsodError if it is not one."""
    return _read(
        path,
        lambda document: {
            name: {key: float(values[key]) for key in protocols.KEYS} for name, values in document["protocols"].items()
        },
    )


def read_curves(path: Path) -> dict[str, list[float]]:
    """`Benchmark.curves()` from a JSON file of `usod evaluate`; UsodError if it has none."""
    return _read(path, lambda document: dict(document["curves"]))


def _read_left_out(path: Path) -> int:
    """Images that were not scored as their masks were learnt."""
    return _read(path, lambda document: int(document.get("left_out", 0)))


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
    """In percent: the rows that can be compared with published ones, this run's under every protocol, and all measures
    of usod's own."""
    return "\n".join(typeset.markdown(*part[:2], title, note) for title, note, part in _printed(frame))


def to_latex(frame: pd.DataFrame) -> str:
    """The tables of `to_markdown` as LaTeX tabulars for the booktabs package; a rule between groups of rows."""
    return "\n".join(typeset.latex(*part[:2], title, note, groups=part[2]) for title, note, part in _printed(frame))


Part = tuple[list[str], list[list[str]], list[str]]
"""Headings, rows of cells, and the group of each row."""


def _printed(frame: pd.DataFrame) -> list[tuple[str, str, Part]]:
    """(title, note, part) of each printed table."""
    notes = " ".join([*frame.attrs.get("notes", []), _NOTE])
    parts = [("Beside the published rows", notes + _words(frame), _beside(frame))]
    own = frame[frame["protocol"] == "own"]
    ours = frame[frame["group"] == OURS]
    if len(set(ours["protocol"])) > 1:
        note = "F / MAE in percent, means over training runs." + _words(ours)
        parts.append(("Every system under every protocol", note, _every_protocol(ours)))
    if len(own):
        parts.append(("All measures under usod's own protocol", "In percent.", _all_measures(own)))
    return parts


def _words(frame: pd.DataFrame) -> str:
    """What the protocols of a table are."""
    names = [name for name in dict.fromkeys(frame["protocol"]) if name in PROTOCOLS]
    return "".join(f" {name}: {PROTOCOLS[name].reads}." for name in names)


def _beside(frame: pd.DataFrame) -> Part:
    """Published rows, this run's under the same protocols, and under usod's own."""
    comparable = {"own", *frame.loc[frame["group"] != OURS, "protocol"]}
    shown = frame[frame["protocol"].isin(comparable)]
    keys = [key for key in _SCORE_HEADINGS if shown[key].notna().any()]
    headings = ["Method", "Group", "Protocol", *(_SCORE_HEADINGS[key] for key in keys), "Human labels", "Source"]
    rows = [
        [
            *(row["system"], row["group"], row["protocol"]),
            *(typeset.percent(row[key], row[f"{key}_std"]) for key in keys),
            *(str(row["pretraining_labels"]) or "not stated", row["source"]),
        ]
        for row in shown.to_dict("records")
    ]
    return headings, rows, [f"{row['protocol']} {row['group']}" for row in shown.to_dict("records")]


def _every_protocol(ours: pd.DataFrame) -> Part:
    names = [name for name in PROTOCOLS if name in set(ours["protocol"])]
    cells = {
        (row["system"], row["protocol"]): f"{typeset.percent(row['f'])} / {typeset.percent(row['mae'])}"
        for row in ours.to_dict("records")
    }
    systems = list(dict.fromkeys(ours["system"]))
    rows = [[system, *(cells.get((system, name), "-") for name in names)] for system in systems]
    return ["Method", *names], rows, [""] * len(rows)


def _all_measures(own: pd.DataFrame) -> Part:
    headings = ["Method", "MAE ↓", *(f"{heading} ↑" for heading in HEADINGS.values())]
    rows = [
        [row["system"], *(typeset.percent(row[key], row[f"{key}_std"]) for key in ("mae", *HEADINGS))]
        for row in own.to_dict("records")
    ]
    return headings, rows, [""] * len(rows)
