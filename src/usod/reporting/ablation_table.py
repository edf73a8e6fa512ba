"""The table of an ablation: what each variant scores, beside the row that the paper prints for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from usod.errors import UsodError
from usod.evaluation.protocols import PROTOCOLS
from usod.reporting import typeset
from usod.reporting.published import published
from usod.reporting.tables import canonical_dataset, read_protocols, read_score

COLUMNS = (
    *("row", "dataset", "seeds", "n", "f", "f_std", "mae", "mae_std"),
    *("published_f", "published_f_std", "published_mae", "published_mae_std", "training_hours", "published_hours"),
)


def ablation_table(
    rows: Mapping[str, Mapping[str, Sequence[str | Path]]],
    histories: Mapping[str, Sequence[str | Path]],
    reference: str | None = None,
    published_as: Mapping[str, str | None] | None = None,
    protocol: str = "own",
) -> pd.DataFrame:
    """Every variant on every data set, then what else the paper prints: other rows, other data sets.

    Parameters
    ----------
    rows : name, as in the published table -> data set -> JSON files of `usod evaluate`, one for each seed
    histories : name -> history.csv of each training that is scored, where there was one
    reference : a key of `usod.reporting.published.TABLES`
    published_as : data set -> its name in the published table
    protocol : how the variants were scored, a key of `usod.evaluation.protocols.PROTOCOLS`; that of the published rows

    Returns
    -------
    Columns `COLUMNS`; scores are fractions, means and standard deviations (n - 1) over the seeds; times are those of
    the scored training alone, on average; NaN where there is none

    Raises
    ------
    UsodError
        If a file cannot be read, or holds no scores under that protocol.
    """
    names = {dataset: name for dataset, name in (published_as or {}).items() if name}
    paper = _paper(reference) if reference else {}
    table: list[dict[str, object]] = []
    for name, scores in rows.items():
        hours = pd.Series([_hours(path) for path in histories.get(name, [])], dtype=float).mean()
        for dataset, paths in scores.items():
            score = pd.DataFrame([_under(protocol, Path(path)) for path in paths])
            mean, std = score.mean(), score.std()
            known = paper.pop((name, canonical_dataset(names.get(dataset, dataset))), {})
            ours = {"seeds": len(paths), "n": mean["n"], "training_hours": hours}
            ours |= {"f": mean["f"], "f_std": std["f"], "mae": mean["mae"], "mae_std": std["mae"]}
            table.append({"row": name, "dataset": dataset, **ours, **known})
    table += [{"row": row, "dataset": dataset, **cell} for (row, dataset), cell in paper.items()]
    return pd.DataFrame(table, columns=list(COLUMNS))


def _under(protocol: str, path: Path) -> dict[str, float]:
    """`n` and the scores under a protocol."""
    found = read_protocols(path)
    if protocol not in found:
        raise UsodError(f"{path}: not scored under {protocol!r}; add it to benchmark.protocols, or to --protocol")
    return {"n": read_score(path)["n"], **found[protocol]}


def _paper(reference: str) -> dict[tuple[str, str], dict[str, float]]:
    """(row, data set) -> published_f, published_mae, published_hours."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for row in published(table=reference).to_dict("records"):
        cell = cells.setdefault((row["method"], row["dataset"]), {})
        cell |= {f"published_{row['measure']}": row["value"], f"published_{row['measure']}_std": row["std"]}
    return cells


def _hours(path: str | Path) -> float:
    try:
        return float(pd.read_csv(path)["seconds"].sum()) / 3600
    except (OSError, ValueError, KeyError) as error:
        raise UsodError(f"{path}: cannot be read as a training history ({error})") from error


def write_ablation_table(frame: pd.DataFrame, path: str | Path, title: str, protocol: str = "own") -> None:
    """Write an `ablation_table` as CSV (fractions), Markdown or LaTeX (percent), by the ending of `path`.

    Raises
    ------
    UsageError
        If the ending is not .csv, .md or .tex.
    """
    headings = ["Variant", "Data set", "F ↑", "MAE ↓", "Published F ↑", "Published MAE ↓", "Hours ↓"]
    timed = frame["published_hours"].notna().any()
    headings += ["Published hours ↓"] if timed else []
    cells = []
    for row in frame.to_dict("records"):
        keys = ("f", "mae", "published_f", "published_mae")
        scores = [typeset.percent(row[key], row[f"{key}_std"]) for key in keys]
        hours = [row["training_hours"], *([row["published_hours"]] if timed else [])]
        cells.append([row["row"], row["dataset"], *scores, *("-" if pd.isna(h) else f"{h:.3g}" for h in hours)])
    note = f"In percent, under the protocol {protocol}: {PROTOCOLS[protocol].reads}. "
    note += "Hours are those of the scored network's own training."
    typeset.write(
        path,
        {
            ".csv": lambda: frame.to_csv(index=False, float_format="%.6f"),
            ".md": lambda: typeset.markdown(headings, cells, title, note),
            ".tex": lambda: typeset.latex(headings, cells, title, note, groups=list(frame["dataset"])),
        },
    )
