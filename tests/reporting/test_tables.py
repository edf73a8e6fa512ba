"""Tables: rows beside the published ones, seeds, file formats and the errors of bad score files."""

import json

import pandas as pd
import pytest

from usod.errors import UsageError, UsodError
from usod.evaluation import MEASURES
from usod.reporting.tables import canonical_dataset, score_table, to_latex, to_markdown, write_table


@pytest.fixture
def scores(tmp_path):
    def write(name, n=100, **values):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"n": n, **dict.fromkeys(MEASURES, 0.5), **values, "protocol": {}, "curves": {}}))
        return path

    return write


def test_seeds_become_mean_and_deviation_beside_the_published_rows(scores):
    paths = {
        "rbd": scores("rbd", mae=0.126),
        "deepusps-seed0": scores("s0", f_fixed=0.84, mae=0.07, f_adaptive=0.8, labels="ImageNet classes"),
        "deepusps-seed1": scores("s1", f_fixed=0.86, mae=0.08, labels="none"),
    }
    frame = score_table(paths, "sed2")
    assert list(frame["system"][-2:]) == ["rbd", "deepusps"]
    ours = frame.iloc[-1]
    assert (ours["f"], ours["f_std"]) == pytest.approx((0.85, 0.02 / 2**0.5))
    assert (ours["mae"], ours["mae_std"]) == pytest.approx((0.075, 0.01 / 2**0.5))
    assert (ours["seeds"], ours["n"], ours["f_definition"]) == (2, 100, "f_fixed")
    assert ours["f_adaptive"] == pytest.approx(0.65)
    assert ours["pretraining_labels"] == "ImageNet classes"
    rbd = frame.iloc[-2]
    assert rbd["pretraining_labels"] == "unknown", "an older score does not say"
    assert rbd["mae"] == 0.126 and pd.isna(rbd["mae_std"]) and rbd["seeds"] == 1

    published = frame[frame["system"] == "DeepUSPS"].iloc[0]
    assert published["f"] == published["f_fixed"] == 0.8446
    assert published["f_fixed_std"] == 0.01
    assert published["f_definition"] == "f_fixed" and pd.isna(published["n"])
    quoted = frame[frame["system"] == "RBD"].iloc[0]
    assert (quoted["f"], quoted["f_definition"], quoted["mae"]) == (0.7939, "unknown", 0.1096)
    assert pd.isna(quoted["f_fixed"])


def test_other_references_and_unknown_data_sets(scores):
    paths = {"rbd": scores("rbd", f_adaptive=0.6)}
    assert list(score_table(paths, "demo")["system"]) == ["rbd"]
    assert list(score_table(paths, "ECSSD", reference=None)["system"]) == ["rbd"]
    frame = score_table(paths, "ECSSD", reference="ldps_table1", f="f_adaptive")
    assert set(frame["f_definition"]) == {"f_adaptive"}
    assert frame.iloc[-1]["f"] == 0.6
    assert score_table({}, "DUT-O").iloc[-1]["f"] == 0.7358


def test_several_references_stand_one_after_the_other_each_with_its_own_measures(scores):
    paths = {"a2s-stage2": scores("a2s", f_adaptive=0.9, e_adaptive=0.94, f_fixed=0.91)}
    frame = score_table(paths, "ECSSD", reference=["a2s_table2", "a2s_successors", "csnet"], f="f_adaptive")
    rows = frame.set_index("system")
    assert list(rows.index).index("A2S stage 2") < list(rows.index).index("A2S-v2") < list(rows.index).index("FOUND")
    assert rows.loc["A2S-v2", ["f", "f_adaptive", "e_adaptive", "mae"]].tolist() == [0.916, 0.916, 0.938, 0.044]
    assert rows.loc["FOUND", ["f", "f_fixed", "f_definition"]].tolist() == [0.915, 0.915, "f_fixed"]
    assert rows.index[-1] == "a2s-stage2" and rows.iloc[-1]["f"] == 0.9
    assert "| E adaptive ↑ |" in to_markdown(frame)


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("ecssd", "ECSSD"),
        ("msra_b", "MSRA-B"),
        ("DUT-O", "DUT-OMRON"),
        ("sed2", "SED2"),
        ("mine", "mine"),
        ("SED", "SED"),
    ],
)
def test_data_set_names(spelt, name):
    assert canonical_dataset(spelt) == name


def test_printed_tables_are_in_percent_and_say_which_f(scores):
    paths = {"my_net-seed0": scores("a", f_fixed=0.8), "my_net-seed1": scores("b", f_fixed=0.9)}
    frame = score_table(paths, "SED2")
    markdown = to_markdown(frame).splitlines()
    (row,) = (line for line in markdown if line.startswith("| my_net "))
    assert "| 85.00 ± 7.07 | 50.00 ± 0.00 | p > 0.5 |" in row
    (row,) = (line for line in markdown if line.startswith("| DeepUSPS "))
    assert "| 84.46 ± 1.00 | 6.96 ± 0.06 | p > 0.5 |" in row
    assert len({line.count("|") for line in markdown if line.startswith("|")}) == 1
    latex = to_latex(frame)
    assert r"my\_net & this run & 85.00 $\pm$ 7.07" in latex
    assert r"\caption{In percent; $\pm$ is" in latex
    assert "±" not in latex and "↑" not in latex
    widths = {line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}
    columns = latex.split(r"\begin{tabular}{")[1].split("}")[0]
    assert widths == {len(columns) - 1}


def test_files(scores, tmp_path):
    frame = score_table({"rbd": scores("rbd", mae=0.1234567)}, "SED2")
    for ending in ("csv", "md", "tex"):
        write_table(frame, tmp_path / "out" / f"t.{ending}")
    back = pd.read_csv(tmp_path / "out" / "t.csv")
    assert list(back.columns) == list(frame.columns)
    assert back.iloc[-1]["mae"] == 0.123457
    assert len(list((tmp_path / "out").iterdir())) == 3
    with pytest.raises(UsageError, match=r"\.csv, \.md or \.tex"):
        write_table(frame, tmp_path / "t.xlsx")


def test_bad_score_files(scores, tmp_path):
    with pytest.raises(UsodError, match="usod evaluate"):
        score_table({"a": tmp_path / "none.json"}, "SED2")
    broken = tmp_path / "broken.json"
    for text in ("{", "[]", '{"n": 3}', '{"n": "x"}'):
        broken.write_text(text)
        with pytest.raises(UsodError, match=r"broken\.json"):
            score_table({"a": broken}, "SED2")
    with pytest.raises(UsodError, match="different numbers of images"):
        score_table({"a-seed0": scores("a", n=3), "a-seed1": scores("b", n=4)}, "SED2")
    with pytest.raises(UsageError, match="f_fixed"):
        score_table({}, "SED2", f="mae")
