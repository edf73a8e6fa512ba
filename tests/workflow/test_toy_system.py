"""A system in one file and one rule file, both of this folder: what usod offers its own systems it offers them."""

import html
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from usod.errors import UsageError
from usod.settings.config import parse_config

from .conftest import TINY, Project

pytestmark = [pytest.mark.faults, pytest.mark.workflow, pytest.mark.xdist_group("toy")]
EMPTY = str(Path(__file__).with_name("__init__.py"))
TOY = str(Path(__file__).with_name("toy.py"))
TABLE = {
    "title": "Rates",
    "rows": {"slow": {"system": "toy", "config": {"toy": {"lr": 0.001}}}, "as it is": {"system": "toy-mean"}},
}
CONFIG = {
    **{key: TINY[key] for key in TINY if key not in ("systems", "deepusps", "a2s", "wss", "ldps")},
    "datasets": {**TINY["datasets"], "demo": {**TINY["datasets"]["demo"], "has_masks": False}},
    "scenes": {**TINY["scenes"], "train": 6, "test": 3},
    "methods": {"rbd": {}},
    "maps": {"chunks": 1},
    "plugins": [TOY],
    "systems": ["toy"],
    "toy": {"epochs": 2},
    "ablations": ["rates.yaml"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The toy's workflow, run to its end, with a copy of its two files."""
    made = Project(tmp_path_factory.mktemp("toy"))
    for name in ("toy.py", "toy.smk"):
        shutil.copy(Path(TOY).with_name(name), made.folder)
    made.configure({**CONFIG, "plugins": ["toy.py"]})
    (made.folder / "rates.yaml").write_text(yaml.safe_dump(TABLE))
    done = made.snakemake("all", "export")
    assert done.returncode == 0, done.stdout
    return made


def test_it_is_trained_scored_shown_exported_and_varied(made):
    results = made.folder / "results"
    assert len(pd.read_csv(results / "demo/toy/mean/history.csv")) == 2
    assert json.loads((results / "scores/demo-test/toy-mean.json").read_text())["n"] == 3
    scores = pd.read_csv(results / "report/scores-demo-test.csv")
    scores = scores[scores["protocol"] == "own"].set_index("system")
    assert scores.loc["toy-mean", "pretraining_labels"] == "none" and set(scores["group"]) == {"this run"}
    page = html.unescape((results / "report/report.html").read_text())
    assert "Toys" in page and "The loss of demo's toy." in page
    assert "toy: mean" in pd.read_csv(results / "report/costs.csv")["step"].tolist()
    assert "toy-mean" in (results / "report/provenance.md").read_text()
    assert len(list((results / "masks/demo/toy-mean").rglob("*.png"))) == 6
    assert (results / "export/toy-mean.onnx").stat().st_size > 10_000
    table = pd.read_csv(results / "report/rates.csv").set_index("row")
    assert table["training_hours"].gt(0).all() and table["f"].notna().all()
    assert (results / "demo/toy/variants/rates.slow/mean/model.safetensors").exists()
    assert not [name for name in map(str, results.rglob("*")) if "deepusps" in name or "a2s" in name]


def test_its_settings_and_its_code_make_it_again_and_nothing_before_it(made):
    trained = {"demo/toy/mean/model.safetensors", "demo/toy/mean/history.csv"}
    config, source = yaml.safe_load((made.folder / "config.yaml").read_text()), made.folder / "toy.py"
    assert made.planned() == set()
    made.configure({**config, "toy": {"epochs": 3}})
    again = made.planned()
    made.configure(config)
    source.write_text(source.read_text().replace('fit("toy"', 'fit("a toy"'))
    for planned in (again, made.planned()):
        assert trained <= planned and not [name for name in planned if "/maps/" in name or "images.h5" in name]


def test_systems_of_usod_can_learn_from_it(project):
    """Its maps are a prior like any other's."""
    project.configure({**CONFIG, "systems": ["ldps"], "ldps": {"priors": ["toy-mean"]}, "ablations": []})
    planned = project.planned()
    assert {
        "demo/toy/mean/model.safetensors",
        "predictions/demo/toy-mean.h5",
        "demo/ldps/toy-mean/labels.h5",
    } <= planned


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"plugins": ["nosuch.py"]}, "plugins: nosuch.py: no such file (/"),
        ({"plugins": [EMPTY]}, f"plugins: {EMPTY}: has no SYSTEM"),
        ({"plugins": [TOY, TOY]}, "there is a system 'toy' already, call it otherwise"),
        ({"plugins": TOY}, "plugins: must be a list"),
        ({"plugins": []}, "toy: unknown key"),
        ({"toy": {"epoch": 1}}, "toy.epoch: unknown key"),
        ({"systems": ["toys"]}, "distil, toy, not 'toys'"),
        ({"methods": {"toy2": {"function": "mc"}}}, "methods.toy2: the workflow uses such names itself"),
        ({"ldps": {"priors": ["toy-nothing"]}}, "ldps.priors: no 'toy-nothing'; there are rbd, rbd-iter0"),
    ],
)
def test_what_does_not_fit_is_one_line(change, line):
    with pytest.raises(UsageError) as caught:
        parse_config({**CONFIG, **change})
    assert line in str(caught.value) and "\n" not in str(caught.value)
