import html.parser
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usod.data.index import build_index, write_index
from usod.errors import UsageError, UsodError
from usod.reporting.costs import cost_table, step_of, write_costs
from usod.reporting.page import make_page, parse_page
from usod.systems.descriptions import SYSTEMS


class Tags(html.parser.HTMLParser):
    """What a browser would load and show."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.links, self.anchors, self.cells = [], [], [], []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.inside = tag
        self.sources += [given["src"]] if "src" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.anchors += [given["id"]] if "id" in given else []

    def handle_data(self, data):
        self.cells += [data.strip()] if self.inside in ("td", "th") and data.strip() else []


@pytest.fixture
def files(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    (tmp_path / "c.md").write_text("| System | F ↑ |\n| --- | ---: |\n| <script>x | 90.31 |\n")
    return tmp_path


def plan(*items):
    return parse_page({"title": "T & t", "chapters": [{"title": "Scores", "items": [{"file": str(i)} for i in items]}]})


def test_the_page_holds_everything_and_loads_nothing(files):
    text = make_page(plan(files / "a.png", files / "b.svg", files / "c.md"))
    tags = Tags(text)
    assert len(tags.sources) == 2 and all(source.startswith("data:image/") for source in tags.sources)
    assert tags.links == ["#scores"] and tags.anchors == ["scores"]
    assert tags.cells == ["System", "F ↑", "<script>x", "90.31"]
    assert "<script" not in text and "<title>T &amp; t</title>" in text


def test_what_is_missing_or_foreign_is_one_line(files):
    with pytest.raises(UsodError, match=r"none.png: cannot be read for the report"):
        make_page(plan(files / "none.png"))
    with pytest.raises(UsageError, match=r"d.txt: a report holds"):
        make_page(plan(files / "d.txt"))
    with pytest.raises(UsageError, match=r"--plan: chapters.0.items.0.path: unknown key"):
        parse_page({"title": "T", "chapters": [{"title": "S", "items": [{"file": "a.md", "path": "a.md"}]}]})


@pytest.mark.parametrize(
    ("record", "step"),
    [
        ("data/scenes", "data"),
        ("demo/index", "data"),
        ("demo/maps/rbd.3-of-4", "maps: rbd"),
        ("demo/deepusps/rbd/iter2", "deepusps: stage 2"),
        ("demo/deepusps/fusion/seed0", "deepusps: fusion"),
        ("demo/deepusps/variants/deepusps_table3.x/rbd/iter2", "ablations"),
        ("demo/oracle/masks", "oracles"),
        ("demo/a2s/stage1", "a2s: stage1"),
        ("demo/ldps_single/rbd", "ldps: rbd"),
        ("demo/masks", "data"),
        ("demo/masks/a2s-stage2", "report"),
        ("demo/theirs/step.predict", "theirs: step"),
        ("predictions/demo/rbd-iter0", "prediction"),
        ("scores/demo/rbd-iter0", "scoring"),
        ("report/curves-demo", "report"),
    ],
)
def test_each_record_belongs_to_a_step(record, step):
    assert step_of(Path(f"{record}.tsv"), {name: system.step for name, system in SYSTEMS.items()}) == step


def test_costs_are_summed_and_memory_is_the_largest(tmp_path):
    folder = tmp_path / "timings/d/deepusps"
    for method, seconds, memory in (("rbd", 60.0, 1024), ("mc", 65.0, 2048)):
        (folder / method).mkdir(parents=True)
        record = f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:01:00\t{memory}\t30\n"
        (folder / method / "iter0.tsv").write_text(record)
    history = tmp_path / "d/deepusps/mc/iter0"
    history.mkdir(parents=True)
    (history / "history.csv").write_text("epoch,device_memory_mb\n1,512\n2,3072\n")
    (tmp_path / "timings/d/index.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n0.1\t0:00:00\t-\t0\n")
    table = cost_table(tmp_path, {"deepusps": SYSTEMS["deepusps"].step}).set_index("step")
    assert list(table.index) == ["data", "deepusps: stage 0"]
    stage = table.loc["deepusps: stage 0"]
    assert list(stage) == [2, 125, 60, 2048, 3072] and np.isnan(table.loc["data", "memory_mb"])
    write_costs(table.reset_index(), tmp_path / "c.md")
    assert "| deepusps: stage 0 | 2 | 0:02:05 | 0:01:00 | 2.00 | 3.00 |" in (tmp_path / "c.md").read_text()
    with pytest.raises(UsodError, match="no records of jobs"):
        cost_table(tmp_path / "d")


def test_provenance_names_data_settings_and_software(tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    write_index(build_index(tmp_path), tmp_path / "index.csv")
    usod = [sys.executable, "-m", "usod", "report", "provenance", "--index", f"ECSSD={tmp_path / 'index.csv'}"]
    command = [*usod, "--config", json.dumps({"size": 432}), "--out", tmp_path / "p.md"]
    subprocess.run(command, check=True)
    text = (tmp_path / "p.md").read_text()
    assert "| ECSSD | 2 | " in text and "size: 432" in text and "| snakemake | 9." in text
