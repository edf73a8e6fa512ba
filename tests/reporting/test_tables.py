"""Tables: rows beside the published ones, seeds, file formats and the errors of bad score files."""

import json

import pandas as pd
import pytest

from usod.errors import UsageError, UsodError
from usod.evaluation import MEASURES
from usod.evaluation.protocols import KEYS
from usod.reporting import typeset
from usod.reporting.tables import canonical_dataset, score_table, to_latex, to_markdown, write_table


@pytest.fixture
def scores(tmp_path):
    """A score file: `own` and other protocols, all 0.5 but for what is given (`a2s={"f": 0.9}`)."""

    def write(name, n=100, labels=None, mae=0.5, **given):
        path = tmp_path / f"{name}.json"
        under = {each: {**dict.fromkeys(KEYS, 0.5), "mae": mae} for each in ("own", "deepusps", "a2s", "csnet")}
        for each in set(given) & set(under):
            under[each] |= given.pop(each)
        document = {"n": n, **dict.fromkeys(MEASURES, 0.5), "mae": mae, **given, "protocols": under, "curves": {}}
        path.write_text(json.dumps(document | ({"labels": labels} if labels else {})))
        return path

    return write


def test_seeds_become_mean_and_deviation_beside_the_published_rows(scores):
    paths = {
        "rbd": scores("rbd", mae=0.126),
        "deepusps-seed0": scores("s0", deepusps={"f": 0.84, "mae": 0.07}, f_adaptive=0.8, labels="none"),
        "deepusps-seed1": scores("s1", deepusps={"f": 0.86, "mae": 0.08}, labels="ImageNet classes"),
    }
    frame = score_table(paths, "sed2")
    comparable = frame[frame["protocol"] == "deepusps"].set_index("system")
    assert list(comparable.index) == ["DeepUSPS", "rbd", "deepusps"]
    ours = comparable.loc["deepusps"]
    assert (ours["f"], ours["f_std"]) == pytest.approx((0.85, 0.02 / 2**0.5))
    assert (ours["mae"], ours["mae_std"]) == pytest.approx((0.075, 0.01 / 2**0.5))
    assert (ours["seeds"], ours["n"], ours["pretraining_labels"]) == (2, 100, "ImageNet classes")
    assert pd.isna(ours["f_adaptive"]), "measures of usod's own protocol"
    own = frame[frame["protocol"] == "own"].set_index("system")
    assert own.loc["deepusps", "f_adaptive"] == pytest.approx(0.65)
    rbd = own.loc["rbd"]
    assert rbd["pretraining_labels"] == "unknown", "an older score does not say"
    assert rbd["mae"] == 0.126 and pd.isna(rbd["mae_std"]) and rbd["seeds"] == 1

    published = comparable.loc["DeepUSPS"]
    assert (published["f"], published["f_std"]) == (0.8446, 0.01) and pd.isna(published["n"])
    quoted = frame[frame["system"] == "RBD"].iloc[0]
    assert (quoted["f"], quoted["protocol"], quoted["mae"]) == (0.7939, "unknown", 0.1096)
    assert list(frame["protocol"])[-1] == "unknown", "what cannot be compared stands last"


def test_other_references_and_unknown_data_sets(scores):
    paths = {"rbd": scores("rbd", a2s={"f": 0.6})}
    for dataset, reference in (("demo", "deepusps_table1"), ("ECSSD", None)):
        frame = score_table(paths, dataset, reference=reference)
        assert set(frame["system"]) == {"rbd"} and list(frame["protocol"]) == ["own", "deepusps", "a2s", "csnet"]
    frame = score_table(paths, "ECSSD", reference="a2s_table4")
    assert frame[(frame["protocol"] == "a2s")]["f"].tolist() == [0.6]
    assert score_table({}, "DUT-O").iloc[0]["f"] == 0.7358


def test_several_references_each_under_its_own_protocol(scores):
    paths = {"a2s-stage2": scores("a2s", a2s={"f": 0.9, "e": 0.94}, csnet={"f": 0.91})}
    frame = score_table(paths, "ECSSD", reference=["a2s_table2", "a2s_successors", "csnet"])
    under = {name: rows.set_index("system") for name, rows in frame.groupby("protocol")}
    a2s = under["a2s"]
    assert list(a2s.index).index("A2S stage 2") < list(a2s.index).index("A2S-v2") < list(a2s.index).index("a2s-stage2")
    assert a2s.loc["A2S-v2", ["f", "e", "mae"]].tolist() == [0.916, 0.938, 0.044]
    assert a2s.loc["a2s-stage2", ["f", "e"]].tolist() == [0.9, 0.94]
    assert under["csnet"].loc[["FOUND", "a2s-stage2"], "f"].tolist() == [0.915, 0.91]
    assert under["deepusps"].loc["DeepUSPS (ResNet-101)", "f"] == 0.882, "quoted by A2S under DeepUSPS's protocol"


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


def test_seeds_share_a_row_under_the_protocols_that_all_were_scored_by(scores):
    first, second = scores("a"), scores("b")
    document = json.loads(second.read_text())
    del document["protocols"]["a2s"]
    second.write_text(json.dumps(document))
    frame = score_table({"net-seed0": first, "net-seed1": second}, "mine", reference=None)
    assert list(frame["protocol"]) == ["own", "deepusps", "csnet"]


def test_a_bar_in_a_cell_ends_no_column_and_numbers_stand_right():
    assert typeset.markdown(["What", "F ↑", "From"], [["a|b", "1", "x"]]).splitlines()[:3] == [
        "| What | F ↑ | From |",
        "| --- | ---: | --- |",
        r"| a\|b | 1 | x |",
    ]


@pytest.mark.parametrize(("groups", "rules"), [(["a", "a", "b"], 2), (["a", "b", "c"], 3), (None, 1)])
def test_a_rule_stands_between_groups_of_rows(groups, rules):
    """Below the headings there is one in any case."""
    assert (
        typeset.latex(["What", "F ↑"], [["x", "1"], ["y", "2"], ["z", "3"]], groups=groups).count(r"\midrule") == rules
    )


def tables(text):
    return [[line for line in part.splitlines() if line.startswith("|")] for part in text.split("**")[2::2]]


def test_printed_tables_are_in_percent_and_compare_within_a_protocol(scores):
    paths = {"my_net-seed0": scores("a", deepusps={"f": 0.8}), "my_net-seed1": scores("b", deepusps={"f": 0.9})}
    frame = score_table(paths, "SED2")
    beside, every, own = tables(to_markdown(frame))
    assert [line.split(" | ")[2:5] for line in beside if "my_net" in line] == [
        ["deepusps", "85.00 ± 7.07", "50.00 ± 0.00"],
        ["own", "50.00 ± 0.00", "50.00 ± 0.00"],
    ], "not those protocols under which no published row was measured"
    (row,) = (line for line in beside if line.startswith("| DeepUSPS "))
    assert "| deepusps | 84.46 ± 1.00 | 6.96 ± 0.06 |" in row
    assert every[0] == "| Method | own | deepusps | a2s | csnet |"
    assert every[2] == "| my_net | 50.00 / 50.00 | 85.00 / 50.00 | 50.00 / 50.00 | 50.00 / 50.00 |"
    assert own[2].startswith("| my_net | 50.00 ± 0.00 |") and "F@.5" in own[0]
    for table in (beside, every, own):
        assert len({line.count("|") for line in table}) == 1
    assert "maps and masks at 432 x 432, F of p > 0.5" in to_markdown(frame), "it says what the protocols are"


def test_latex_has_the_same_tables(scores):
    latex = to_latex(score_table({"my_net-seed0": scores("a", deepusps={"f": 0.8})}, "SED2"))
    assert r"my\_net & this run & deepusps & 80.00 &" in latex and latex.count(r"\begin{tabular}") == 3
    assert "±" not in latex and "↑" not in latex
    for part in latex.split(r"\begin{tabular}{")[1:]:
        widths = {line.count(" & ") for line in part.splitlines() if line.endswith(r"\\")}
        assert widths == {len(part.split("}")[0]) - 1}


def test_files(scores, tmp_path):
    frame = score_table({"rbd": scores("rbd", mae=0.1234567)}, "SED2")
    for ending in ("csv", "md", "tex"):
        write_table(frame, tmp_path / "out" / f"t.{ending}")
    back = pd.read_csv(tmp_path / "out" / "t.csv")
    assert list(back.columns) == list(frame.columns)
    assert back.loc[back["system"] == "rbd", "mae"].tolist() == [0.123457] * 4
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
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"n": 3, **dict.fromkeys(MEASURES, 0.5), "curves": {}}))
    with pytest.raises(UsodError, match=r"old\.json.*'protocols'.*score again"):
        score_table({"a": old}, "SED2")


def test_columns_of_numbers_and_those_below_an_arrow_are_set_to_the_right():
    rows = [["x", "1", "2", "-"], ["y", "none", "3.5", "7"]]
    table = typeset.markdown(["Name", "Seen", "Count", "F ↑"], rows).splitlines()
    assert table[1] == "| --- | --- | ---: | ---: |"
    assert r"\begin{tabular}{llrr}" in typeset.latex(["Name", "Seen", "Count", "F ↑"], rows)
