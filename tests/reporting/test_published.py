"""The transcribed tables: their size, spot values read in the papers, and what the papers say of their own rows."""

import hashlib
from pathlib import Path

import pytest

from usod import reporting
from usod.errors import UsageError
from usod.evaluation import PROTOCOLS
from usod.reporting.published import COLUMNS, TABLES, published


def value(table, method, dataset, measure="f"):
    frame = published(dataset, table)
    (found,) = frame[(frame["method"] == method) & (frame["measure"] == measure)]["value"]
    return found


@pytest.mark.parametrize(
    ("table", "method", "protocol"),
    [
        ("deepusps_table1", "DeepUSPS", "deepusps"),
        ("deepusps_table1", "RBD", "unknown"),
        ("a2s_table2", "A2S stage 2", "a2s"),
        ("a2s_table2", "DeepUSPS (ResNet-101)", "deepusps"),
        ("wss_table1", "WSS", "wss"),
        ("ldps_table1", "MB+", "ldps"),
        ("csnet", "FOUND", "csnet"),
    ],
)
def test_a_row_says_how_it_was_measured_the_mean_absolute_error_too(table, method, protocol):
    """A2S quotes DeepUSPS at another threshold than its own; DeepUSPS quotes numbers of unknown thresholds."""
    frame = published(table=table)
    assert set(frame.loc[frame["method"] == method, "protocol"]) == {protocol}


def test_the_tables_are_those_that_were_read_against_the_papers():
    """Without the papers. With them (USOD_REAL_DATA) `papers/test_tables.py` reads every number; then change this."""
    whole = hashlib.sha256()
    for file in sorted(Path(reporting.__file__).with_name("published").glob("*.csv")):
        whole.update(file.name.encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n"))
    assert whole.hexdigest()[:16] == "2e7850528de3d1cc"


def test_columns_and_ranges():
    frame = published()
    assert tuple(frame.columns) == COLUMNS
    assert frame.loc[frame["measure"] != "hours", "value"].between(0.02, 0.96).all()
    assert frame["std"].dropna().between(0.0001, 0.02).all()
    assert set(frame["measure"]) == {"f", "mae", "e", "variance", "hours"}
    assert set(frame["protocol"]) <= {*PROTOCOLS, "unknown"}
    assert (frame[["source", "table", "method", "group", "dataset", "pretraining_labels"]] != "").all(axis=None)
    assert not frame.duplicated(["source", "table", "method", "dataset", "measure"]).any()


@pytest.mark.parametrize(
    ("table", "numbers", "methods"),
    [
        ("deepusps_table1", 122, 17),
        ("deepusps_table3", 8 * 19, 19),
        ("a2s_table2", 12 * 16 - 4 - 4 - 6, 16),
        ("a2s_table1", 2, 2),
        ("a2s_table4", 2 * 4, 4),
        ("a2s_table5", 2 * 4, 4),
        ("a2s_table7", 4 * 6, 6),
        ("a2s_table8", 6 * 2, 2),
        ("a2s_successors", 3 * (5 * 5 + 1), 6),
        ("csnet", 2 * (3 * 4 + 2 * 2), 5),
        ("ldps_table1", 8 * 24, 24),
        ("ldps_table2", 8 * 12, 12),
        ("ldps_table3", 4 * 6, 6),
        ("ldps_table4", 2 * 3, 3),
        ("ldps_table5", 2 * 3, 3),
        ("wss_table1", 6 * 12 - 2, 12),
    ],
)
def test_every_cell_of_a_table_is_there(table, numbers, methods):
    frame = published(table=table)
    assert (len(frame), frame["method"].nunique()) == (numbers, methods)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (("deepusps_table1", "RBD", "MSRA-B"), 0.7508),
        (("deepusps_table1", "RBD", "MSRA-B", "mae"), 0.1171),
        (("deepusps_table1", "HS", "SED2", "mae"), 0.1869),
        (("deepusps_table1", "DSR", "DUT-OMRON"), 0.5583),
        (("deepusps_table1", "MC", "ECSSD"), 0.6114),
        (("deepusps_table1", "Zhang et al. (2017b)", "ECSSD"), 0.8825),
        (("deepusps_table1", "DeepUSPS", "SED2"), 0.8446),
        (("deepusps_table3", "No self-supervision", "DUT-OMRON", "mae"), 0.0649),
        (("deepusps_table3", "Trained on refined HS-maps after iter. 2", "SED2"), 0.7888),
        (("deepusps_table3", "DeepUSPS (ResNet-101)", "ECSSD"), 0.8817),
        (("a2s_table2", "A2S stage 1", "DUTS-TE"), 0.693),
        (("a2s_table2", "A2S stage 2", "HKU-IS", "mae"), 0.048),
        (("a2s_table2", "MNL", "PASCAL-S"), 0.842),
        (("a2s_table4", "A0: unfrozen encoder", "MSRA-B-train", "mae"), 0.35),
        (("a2s_table5", "alpha 0.2", "MSRA-B-train"), 0.862),
        (("a2s_table7", "Convolution with OLR", "MSRA-B", "mae"), 0.047),
        (("a2s_table8", "HMA", "ECSSD"), 0.843),
        (("a2s_successors", "A2S-v2", "DUTS-TE"), 0.81),
        (("a2s_successors", "A2S-v2", "PASCAL-S", "mae"), 0.074),
        (("a2s_successors", "A2S-v3", "HKU-IS", "e"), 0.953),
        (("csnet", "FOUND", "DUTS-TE", "mae"), 0.057),
        (("ldps_table1", "wCtrO", "PASCAL-S"), 0.5963),
        (("ldps_table1", "SRM + LDPS", "ECSSD", "mae"), 0.0460),
        (("ldps_table1", "R3Net + LDPS", "ECSSD"), 0.9208),
        (("wss_table1", "WSS", "THUR15K"), 0.663),
        (("wss_table1", "RFCN", "DUTS-TE"), 0.712),
    ],
)
def test_spot_values(cell, expected):
    assert value(*cell) == expected


def test_deviations_of_the_three_runs():
    frame = published("DUT-OMRON", "deepusps_table1").set_index(["method", "measure"])
    assert frame.loc[("DeepUSPS", "f"), "std"] == 0.0087
    assert frame.loc[("DeepUSPS", "mae"), "std"] == 0.0002
    assert frame["std"].notna().sum() == 2


def test_what_the_papers_say_of_their_own_rows():
    """Statements in their text that the numbers must bear out."""
    assert value("a2s_table2", "DeepUSPS (ResNet-101)", "ECSSD") == round(
        value("deepusps_table3", "DeepUSPS (ResNet-101)", "ECSSD"), 3
    )
    ldps = published(table="ldps_table1").set_index(["method", "dataset", "measure"])["value"].unstack()
    for method in ldps.index.get_level_values("method").unique():
        if not method.endswith("LDPS"):
            prior, refined = ldps.loc[method], ldps.loc[f"{method} + LDPS"]
            assert (refined["f"] > prior["f"]).all() and (refined["mae"] < prior["mae"]).all()
    wss = published(table="wss_table1").set_index(["method", "dataset"])["value"]
    for dataset, cells in wss.groupby("dataset"):
        unsupervised = cells.loc[["MR", "wCtr", "MBS", "BSCA"]]
        assert wss["WSS", dataset] > unsupervised.max()


def test_selection():
    assert set(published("SED2")["table"]) == {"Table 1", "Table 2", "Table 3"}
    assert published("demo").empty
    with pytest.raises(UsageError, match="deepusps_table1"):
        published(table="table9")
    published()["value"] = 0  # a caller's changes stay the caller's
    assert published()["value"].max() > 0.9
    assert all(TABLES.values())
