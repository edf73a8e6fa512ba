"""The transcribed tables against the papers' own text, cell by cell, where the papers are at hand."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from usod.reporting.published import published

PAPERS = Path(os.environ.get("USOD_REAL_DATA", "nowhere")) / "papers"
# Table -> paper, how its caption begins, what one is in its unit, and numbers before the scores in every row.
TABLES = {
    "deepusps_table1": ("deepusps", "Table 1: ", 100, 0),
    "deepusps_table3": ("deepusps", "Table 3: ", 100, 0),
    "a2s_table2": ("a2s", "TABLE II: ", 1, 0),
    "a2s_table4": ("a2s", "TABLE IV: ", 1, 0),
    "a2s_table7": ("a2s", "TABLE VII: ", 1, 1),
    "a2s_table8": ("a2s", "TABLE VIII: ", 1, 1),
    "ldps_table1": ("ldps", "Table 1: ", 1, 0),
    "ldps_table2": ("ldps", "Table 2: ", 1, 0),
    "ldps_table4": ("ldps", "Table 4: ", 1, 1),
    "ldps_table5": ("ldps", "Table 5: ", 1, 2),
}


DASHES = ("-", "\N{EN DASH}")


def cells(line):
    """A row's cells without markup: numbers, NaN for a dash; None where one is a word or empty."""
    found = []
    for cell in line.split("\t"):
        text = re.sub(r"<[^>]+>|\[.*?\]|\$", "", cell).strip()
        found.append(float(text) if re.fullmatch(r"\d+\.\d+", text) else np.nan if text in DASHES else None)
    return found


def printed(paper, caption):
    """The lines of a table: those with tabs that follow its caption."""
    path = PAPERS / f"{paper}.md"
    if not path.is_file():
        pytest.skip("USOD_REAL_DATA has no papers")
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if re.sub(r"<[^>]+>", "", line).startswith(caption))
    first = next(i for i in range(start, len(lines)) if "\t" in lines[i])
    last = next((i for i in range(first, len(lines)) if not lines[i].strip()), len(lines))
    return lines[first:last]


def scores(table, measures=("f", "mae")):
    """What we have of it: (methods, data sets x measures), in its order; and deviations."""
    frame = published(table=table)
    frame = frame[frame["measure"].isin(measures) & (frame["table"] == frame["table"].iloc[0])]
    methods, sets = frame["method"].drop_duplicates(), frame["dataset"].drop_duplicates()
    columns = pd.MultiIndex.from_product([sets, measures])
    frame = frame.set_index(["method", "dataset", "measure"])
    return [frame[value].unstack([1, 2]).reindex(methods)[columns].to_numpy() for value in ("value", "std")]  # noqa: PD010


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_the_papers(table):
    paper, caption, unit, before = TABLES[table]
    rows, deviations = [], []
    for line in printed(paper, caption):
        numbers = [cell for cell in cells(line) if cell is not None][before:]
        if line.startswith(("±", r"$\pm$")):
            deviations.append((len(rows) - 1, numbers))
        elif numbers:
            rows.append(numbers)
    ours, spread = scores(table)
    assert len(rows) == len(ours)
    for number, (theirs, own) in enumerate(zip(rows, ours * unit, strict=True)):
        # Where a paper leaves the last cells empty, our rows have none either.
        expected = [*theirs, *[np.nan] * (len(own) - len(theirs))]
        np.testing.assert_allclose(
            own, expected, atol=1e-9, err_msg=f"row {number}: {published(table=table)['method']}"
        )
    for number, theirs in deviations:
        np.testing.assert_allclose(spread[number] * unit, theirs, atol=1e-9)
    assert np.isfinite(spread).any() == bool(deviations)


def test_the_row_of_table_2_that_table_3_of_deepusps_lacks():
    (line,) = (line for line in printed("deepusps", "Table 2: ") if "Resnet101" in line)
    ours = published(table="deepusps_table3")
    row = ours[ours["table"] == "Table 2"]
    assert set(row["method"]) == {"DeepUSPS (ResNet-101)"}
    np.testing.assert_allclose(row["value"] * 100, [cell for cell in cells(line) if cell is not None])


def test_table_5_of_a2s_has_its_columns_as_rows():
    rows = [[cell for cell in cells(line) if cell is not None] for line in printed("a2s", "TABLE V: ")]
    np.testing.assert_allclose(scores("a2s_table5")[0].T, [row for row in rows if row])


def test_table_3_of_ldps_has_a_row_for_each_set_and_refinement():
    rows = [[cell for cell in cells(line) if cell is not None] for line in printed("ldps", "Table 3: ")]
    grid = np.array([row for row in rows if row]).reshape(2, 2, 3, 2)  # sets, refinements, priors, measures
    ours = scores("ldps_table3")[0].reshape(2, 3, 2, 2)  # refinements, priors, sets, measures
    np.testing.assert_allclose(ours.transpose(2, 0, 1, 3), grid)


def test_table_1_of_wss_has_its_methods_as_columns():
    rows = [[cell for cell in cells(line) if cell is not None] for line in printed("wss", "Table 1. ")]
    *sets, _ = [row for row in rows if row]  # the last row is the speed
    np.testing.assert_allclose(scores("wss_table1", ("f",))[0].T, sets)
