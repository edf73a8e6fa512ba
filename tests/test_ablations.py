"""Which variant of a table is trained, and under which name."""

import re
from pathlib import Path

import pytest

from usod.errors import UsageError
from usod.reporting.published import published
from usod.settings.ablations import Variants, check_table_names, find_tables, read_ablation, slug
from usod.settings.config import parse_config
from usod.settings.sections import read_yaml

PRESETS = Path(__file__).parents[1] / "workflow/presets"
TABLES = {path.stem: path for path in sorted((PRESETS / "ablations").glob("*.yaml"))}
SOURCES = "\n".join(file.read_text() for file in (PRESETS.parent / "rules").glob("*.smk"))
RULES = {"all", *re.findall(r"^rule (\w+):", SOURCES, re.M)}
BASE = {"datasets": {"d": {"root": "demo"}}, "train": "d"}


def variants(**rows):
    table = {"title": "T", "rows": {name: {"system": "a2s-stage2", "config": c} for name, c in rows.items()}}
    return Variants(parse_config(BASE), {"t": read_table(table)})


def read_table(values):
    from usod.settings.ablations import Ablation

    return Ablation.model_validate(values)


def test_a_row_with_the_settings_of_the_configuration_is_the_configurations_own():
    table = variants(same={}, spelt={"a2s": {"stage2": {"keep": 0.4}}}, other={"a2s": {"stage2": {"keep": 0.8}}})
    assert table.systems("t") == {"same": ["a2s-stage2"], "spelt": ["a2s-stage2"], "other": ["a2s-stage2@t.other"]}


def test_rows_that_differ_in_stage_2_share_stage_1_and_equal_rows_are_one():
    table = variants(
        a={"a2s": {"stage1": {"alpha": 0}}}, b={"a2s": {"stage1": {"alpha": 0.0}}}, c={"a2s": {"stage2": {"lr": 0.1}}}
    )
    assert table.systems("t") == {
        "a": ["a2s-stage2@t.a"],
        "b": ["a2s-stage2@t.a"],
        "c": ["a2s-stage2@t.c"],
    }
    assert [table.first("a2s-stage1", v) for v in ("t.a", "t.b", "t.c")] == ["t.a", "t.a", ""]


def test_a_change_of_the_network_reaches_both_stages():
    table = variants(wide={"network": {"light_width": 24}})
    assert table.settings["t.wide"].encoder.light_width == table.settings["t.wide"].detector.light_width == 24
    assert table.first("a2s-stage1", "t.wide") == table.first("a2s-stage2", "t.wide") == "t.wide"


@pytest.mark.parametrize("name", TABLES)
def test_bundled_tables_fit_the_papers_settings_and_name_the_papers_rows(name):
    table = read_ablation(TABLES[name])
    base = parse_config(read_yaml(PRESETS / f"{name.partition('_')[0]}.yaml"))
    found = Variants(base, {name: table}).systems(name)
    every = [system for systems in found.values() for system in systems]
    assert len(set(every)) == len(every) >= len(table.rows), "every row is something of its own"
    if table.reference:
        printed = set(published(table=table.reference)["method"])
        named = set(found) & printed
        # LDPS prints some priors only, of twelve in Table 1; LPS (Table 2) is not part of this project.
        some = name in ("ldps_table2", "ldps_table3", "ldps_table4", "ldps_table5")
        assert named == ({row for row in printed if not row.endswith("+ LPS")} if some else set(found))


def test_two_priors_that_a_paper_calls_the_same_are_two_rows():
    """Ours and the authors' maps of one method; names are matched in any case."""
    values = read_yaml(PRESETS / "ldps_handcrafted.yaml")
    values["methods"] = {name: {"function": "rbd"} for name in ("rbd", "SRM", "srm", "PICANET", "mine")}
    base = parse_config(values)
    table = {"ldps_table1": read_ablation(TABLES["ldps_table1"])}
    rows = Variants(base, table).systems("ldps_table1")
    assert [name for name in rows if "+" not in name] == ["wCtrO", "SRM", "srm", "PiCANet", "mine"]


def test_the_papers_own_choice_is_the_configuration_itself():
    base = parse_config(read_yaml(PRESETS / "a2s.yaml"))
    tables = Variants(base, {name: read_ablation(path) for name, path in TABLES.items()})
    own = {
        "a2s_table4": "A3: A2S stage 1",
        "a2s_table5": "alpha 0.1",
        "a2s_table6": "lambda 0.4",
        "a2s_table7": "RAM with OLR",
        "a2s_table8": "OLR",
    }
    for table, row in own.items():
        (base_row,) = [name for name, (system,) in tables.systems(table).items() if "@" not in system]
        assert base_row == row


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title: T\nrows: {a: {system: a2s-stage1, config: {size: 64}}}", "rows.a.config.size"),
        ("title: T\nrows: {}", "rows"),
        ("title: T\nrows: {a: {system: a2s-stage1}}\nmore: 1", "more: unknown key"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path, text, line):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_ablation(tmp_path / "t.yaml")
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_tables_are_found_by_name_and_by_path(tmp_path):
    for name in ("mine.v2.yaml", "a2s_table4.yaml"):
        (tmp_path / name).touch()
    found = find_tables(["a2s_table6", str(tmp_path / "mine.v2.yaml"), str(tmp_path / "a2s_table4.yaml")], TABLES)
    assert found == TABLES | {"mine.v2": tmp_path / "mine.v2.yaml", "a2s_table4": tmp_path / "a2s_table4.yaml"}
    check_table_names(found, RULES)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nosuch", r"ablations: no table 'nosuch': no file /.*/nosuch, and none of a2s_figure10, a2s_figure7, "),
        ("my table.yaml", r"ablations: my table\.yaml: rename it, e\.g\. my-table\.yaml: take letters"),
        ("masks.yaml", r"ablations: masks\.yaml: rename it: 'masks' is a target of the workflow itself"),
        ("all.yaml", r"ablations: all\.yaml: rename it"),
        ("costs.yaml", r"ablations: costs\.yaml: rename it: results/report/costs\.\* are files of the report"),
        ("x/mine.yaml", r"ablations: x/mine\.yaml: mine\.yaml has the same name"),
    ],
)
def test_a_table_that_cannot_be_is_one_line(tmp_path, monkeypatch, name, line):
    monkeypatch.chdir(tmp_path)
    for file in {name, "mine.yaml"} - {"nosuch"}:
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).touch()
    with pytest.raises(UsageError, match=line):
        check_table_names(find_tables(["mine.yaml", name], TABLES), RULES)


def test_no_table_can_be_called_as_a_file_of_the_report(tmp_path, monkeypatch):
    """What else the rules put into results/report."""
    files = set(re.findall(r"results/report/([\w{}-]+)\.(?:csv|md|tex|svg|html|png)\"", SOURCES)) - {
        "{table}",
        "{table}-{testset}",
        "{table}-epochs-{testset}",
        "{table}-maps-{testset}",
    }
    assert len(files) >= 8
    monkeypatch.chdir(tmp_path)
    for stem in {re.sub(r"{\w+}", "x", file) for file in files} - RULES:
        Path(f"{stem}.yaml").touch()
        with pytest.raises(UsageError, match="files of the report"):
            find_tables([f"{stem}.yaml"], TABLES)


def test_a_row_that_does_not_fit_names_itself():
    with pytest.raises(UsageError, match=r"t: rows.bad: a2s.stage2.keep"):
        variants(bad={"a2s": {"stage2": {"keep": 2}}})


@pytest.mark.parametrize("system", ["dsr-iter9", "a2s-stage3", "ldps-none", "crf-"])
def test_a_system_that_is_not_there_is_named(system):
    table = read_table({"title": "T", "rows": {"a": {"system": system}}})
    with pytest.raises(UsageError, match="t: rows.a.system: no "):
        Variants(parse_config(BASE), {"t": table})


def test_a_row_is_repeated_for_each_prior_under_its_published_name():
    rows = {"{prior}": {"system": "{prior}"}, "{prior} + LDPS": {"system": "ldps-{prior}"}}
    rows["{prior} at 0.8"] = {"system": "ldps-{prior}", "config": {"ldps": {"merge": {"theta_fg": 0.8}}}}
    base = parse_config(BASE | {"methods": {"rbd": {}, "mc": {}}})
    table = Variants(base, {"t": read_table({"title": "T", "rows": rows})})
    assert table.systems("t") == {
        "wCtrO": ["rbd"],
        "wCtrO + LDPS": ["ldps-rbd"],
        "wCtrO at 0.8": ["ldps-rbd@t.at-0.8"],
        "mc": ["mc"],
        "mc + LDPS": ["ldps-mc"],
        "mc at 0.8": ["ldps-mc@t.at-0.8"],
    }
    assert table.first("ldps_train-rbd", "t.at-0.8") == "", "the threshold of refining does not retrain"


def test_rows_need_names_that_differ_as_files():
    assert slug("A0: unfrozen encoder") == "A0-unfrozen-encoder"
    with pytest.raises(UsageError, match="two rows"):
        variants(**{"a b": {}, "a-b": {}})


def test_deepusps_shares_its_stages_between_rows_and_tables():
    base = parse_config(read_yaml(PRESETS / "deepusps.yaml"))
    tables = Variants(base, {name: read_ablation(TABLES[name]) for name in ("deepusps_table2", "deepusps_table3")})
    second, third = (tables.systems(name) for name in ("deepusps_table2", "deepusps_table3"))
    assert third["DeepUSPS"] == [f"deepusps-seed{seed}" for seed in (0, 1, 2)]
    assert third["No CRF"] == [f"raw-deepusps-seed{seed}" for seed in (0, 1, 2)], "the same networks"
    assert third["Trained on refined HS-maps after iter. 2"] == second["Trained on refined HS-maps after iter. 2"]
    oracle = "deepusps_table2.Oracle-train-on-GT"
    assert third["(Oracle) train on GT"] == [f"deepusps-seed{seed}@{oracle}" for seed in (0, 1, 2)]
    assert tables.first("rbd-iter2", "deepusps_table3.No-self-supervision") == "", "labels do not depend on the fusion"
    resnet = "deepusps_table2.DeepUSPS-ResNet-101"
    assert tables.first("rbd-iter0", resnet) == tables.first("oracle-labels", resnet) == resnet
    assert tables.first("oracle-masks", resnet) == tables.first("rbd", resnet) == ""


def test_direct_fusion_binarises_each_method_as_its_own_refinement_does():
    row = "deepusps_table3.Direct-fusion-of-handcrafted-methods"
    found = {}
    for name in ("deepusps", "deepusps_as_released"):
        base = parse_config(read_yaml(PRESETS / f"{name}.yaml"))
        tables = Variants(base, {"deepusps_table3": read_ablation(TABLES["deepusps_table3"])})
        assert base.unrefined == {}, "the last stage's labels have a threshold of their own"
        found[name] = {m: (how.threshold, how.threshold_factor) for m, how in tables.settings[row].unrefined.items()}
    assert set(found["deepusps"].values()) == {(None, 1.5)}
    assert {m: threshold for m, (threshold, _) in found["deepusps_as_released"].items()} == {
        "rbd": 0.25,
        "dsr": 0.23,
        "mc": 0.31,
        "hs": 0.36,
    }


def test_a_row_is_repeated_for_each_method_and_iteration():
    rows = {
        "{METHOD} {ITERATION}": {
            "system": "deepusps-seed0",
            "config": {"deepusps": {"labels": ["{method}-iter{iteration}"]}},
        }
    }
    rows["all"] = {"system": "deepusps-seed0", "config": {"deepusps": {"labels": ["{method}-iter0"]}}}
    table = Variants(
        parse_config(BASE | {"methods": {"rbd": {}, "mc": {}}}), {"t": read_table({"title": "T", "rows": rows})}
    )
    assert list(table.systems("t")) == ["RBD 1", "RBD 2", "MC 1", "MC 2", "all"]
    assert table.settings["t.MC-2"].fused_labels == ["mc-iter2"]
    assert table.settings["t.all"].fused_labels == ["rbd-iter0", "mc-iter0"]


def test_a_table_that_was_not_asked_for_may_not_fit():
    bad = {"t": read_table({"title": "T", "rows": {"a": {"system": "wss-iter7"}}})}
    tables = Variants(parse_config(BASE), bad, asked=[])
    assert "no 'wss-iter7'" in tables.unfit["t"] and not tables.tables
    with pytest.raises(UsageError, match="wss-iter7"):
        Variants(parse_config(BASE), bad, asked=["t"])
