"""A system in one file and one rule file, both of this folder: what usod offers its own systems it offers them."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from usod.config import parse_config
from usod.errors import UsageError

from .conftest import TINY

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("toy")]
TOY = str(Path(__file__).with_name("toy.py"))
TABLE = {
    "title": "Rates",
    "rows": {"slow": {"system": "toy", "config": {"toy": {"lr": 0.001}}}, "as it is": {"system": "toy-mean"}},
}
CONFIG = {**TINY, "plugins": [TOY], "systems": ["toy"], "toy": {"epochs": 2}, "ablations": ["rates.yaml"]}


def test_it_is_planned_trained_scored_shown_exported_and_varied(project):
    project.configure(CONFIG)
    (project.folder / "rates.yaml").write_text(yaml.safe_dump(TABLE))
    done = project.snakemake("all", "export")
    assert done.returncode == 0, done.stdout
    results = project.folder / "results"
    assert len(pd.read_csv(results / "demo/toy/mean/history.csv")) == 2
    assert json.loads((results / "scores/demo-test/toy-mean.json").read_text())["n"] == 4
    scores = pd.read_csv(results / "report/scores-demo-test.csv").set_index("system")
    assert scores.loc["toy-mean", "pretraining_labels"] == "none" and set(scores["group"]) == {"this run"}
    page = (results / "report/report.html").read_text()
    assert "Toys" in page and "The loss of demo&#x27;s toy." in page.replace("&#39;", "&#x27;").replace("'", "&#x27;")
    assert "toy: mean" in pd.read_csv(results / "report/costs.csv")["step"].tolist()
    assert "toy-mean" in (results / "report/provenance.md").read_text()
    assert len(list((results / "masks/demo/toy-mean").rglob("*.png"))) == 10
    assert (results / "export/toy-mean.onnx").stat().st_size > 10_000
    table = pd.read_csv(results / "report/rates.csv").set_index("row")
    assert table["training_hours"].gt(0).all() and table["f"].notna().all()
    assert (results / "demo/toy/variants/rates.slow/mean/model.safetensors").exists()
    assert "Nothing to be done" in project.snakemake("--dry-run").stdout
    assert not [name for name in map(str, results.rglob("*")) if "deepusps" in name or "a2s" in name]


def test_its_settings_and_its_code_rerun_it_and_nothing_else(project, tmp_path):
    own = tmp_path / "plugins"
    own.mkdir()
    for name in ("toy.py", "toy.smk"):
        (own / name).write_text(Path(TOY).with_name(name).read_text())
    config = {**CONFIG, "plugins": [str(own / "toy.py")], "ablations": []}
    project.configure(config)
    trained = "results/demo/toy/mean/model.safetensors"
    done = project.snakemake(trained)
    assert done.returncode == 0, done.stdout
    files = {trained.removeprefix("results/"), "demo/toy/mean/history.csv"}
    project.configure({**config, "toy": {"epochs": 3}})
    assert project.planned(trained) == files
    project.configure(config)
    assert "Nothing to be done" in project.snakemake("--dry-run", trained).stdout
    source = own / "toy.py"
    source.write_text(source.read_text().replace('"toy").fit()', '"a toy").fit()'))
    assert project.planned(trained) == files


def test_systems_of_usod_can_learn_from_it(project):
    """Its maps are a prior like any other's."""
    project.configure({**CONFIG, "systems": ["ldps"], "ldps": {"priors": ["toy-mean"]}, "ablations": []})
    planned = project.planned()
    assert {"demo/toy/mean/model.safetensors", "scores/demo/toy-mean.h5", "demo/ldps/toy-mean/labels.h5"} <= planned


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"plugins": ["nosuch.py"]}, "plugins: nosuch.py: no such file (/"),
        ({"plugins": [__file__]}, f"plugins: {__file__}: has no SYSTEM"),
        ({"plugins": [TOY, TOY]}, "there is a system 'toy' already, call it otherwise"),
        ({"plugins": TOY}, "plugins: must be a list"),
        ({"plugins": []}, "toy: unknown key"),
        ({"toy": {"epoch": 1}}, "toy.epoch: unknown key"),
        ({"systems": ["toys"]}, "systems.0: must be one of deepusps, a2s, wss, ldps, toy, not 'toys'"),
        ({"methods": {"toy2": {"function": "mc"}}}, "methods.toy2: the workflow uses such names itself"),
        ({"ldps": {"priors": ["toy-nothing"]}}, "ldps.priors: no 'toy-nothing'; there are rbd, mc, "),
    ],
)
def test_what_does_not_fit_is_one_line(change, line):
    with pytest.raises(UsageError) as caught:
        parse_config({**CONFIG, **change})
    assert line in str(caught.value) and "\n" not in str(caught.value)
