"""The list of what stands in the report, against the rules that make it."""

import re
from pathlib import Path

import pytest

from usod.errors import UsageError
from usod.plan import Plan
from usod.reporting.contents import contents, figures, first_pictures, report_path
from usod.settings.ablations import Variants, read_ablation
from usod.settings.config import own_images, parse_config
from usod.settings.sections import read_yaml

WORKFLOW = Path(__file__).parents[2] / "workflow"
TABLES = {file.stem: read_ablation(file) for file in (WORKFLOW / "presets/ablations").glob("*.yaml")}
# Tables beside the page, and the page itself: no parts of it.
BESIDE = {"results/report/a2s_table1.csv", "results/report/report.html"}


@pytest.fixture(scope="module")
def everything():
    """A configuration that asks for all systems and all tables of variants."""
    config = {
        "datasets": {"d": {"root": "demo"}, "t": {"root": "demo"}},
        "train": "d",
        "test": ["t"],
        "systems": ["deepusps", "a2s", "wss", "ldps"],
        "ablations": list(TABLES),
    }
    return Plan(Variants(parse_config(config), TABLES))


def caption(name):
    return (WORKFLOW / f"report/{name}.rst").read_text(encoding="utf-8")


def drawn():
    """Path with wildcards -> caption, of what the rules mark for the report."""
    rules = "\n".join(file.read_text(encoding="utf-8") for file in (WORKFLOW / "rules").glob("*.smk"))
    marked = re.findall(r'report\(\s*"([^"]+)",\s*caption="../report/(\w+).rst"', rules)
    assert len(marked) == rules.count("report(\n"), "a rule marks it in another way"
    return {path: name for path, name in marked if path not in BESIDE}


def test_what_the_rules_draw_is_on_the_page_and_the_page_shows_only_that(everything):
    patterns = {re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)): name for path, name in drawn().items()}
    listed = {report_path(figure): figure.caption for figure in figures(everything)}
    for path, name in listed.items():
        assert name in [patterns[p] for p in patterns if re.fullmatch(p, path)], f"no rule draws {path}"
    for pattern, name in patterns.items():
        found = [path for path in listed if re.fullmatch(pattern, path) and listed[path] == name]
        assert found, f"{pattern}: drawn, but not on the page"


def test_the_page_holds_every_figure_once_with_its_caption(everything):
    listed = [report_path(figure) for figure in figures(everything)]
    page = contents(everything, caption, listed)
    items = [item for chapter in page["chapters"] for item in chapter["items"]]
    assert sorted(item["file"] for item in items) == sorted(set(listed))
    assert all("{{" not in item["caption"] for item in items)
    (scores,) = (item["caption"] for item in items if item["file"] == "results/report/scores-t.md")
    assert scores.startswith("Scores on t in percent")


def test_the_page_of_images_without_masks_leads_to_them_and_has_no_scores(tmp_path):
    """Links are those of a browser that has opened results/report/report.html."""
    preset = read_yaml(WORKFLOW / "presets/own_images.yaml")
    (tmp_path / "my photos").mkdir()
    plan = Plan(Variants(parse_config(own_images(str(tmp_path / "my photos"), preset, {})), {}))
    page = contents(plan, caption, [report_path(figure) for figure in figures(plan)], first_pictures(plan))
    assert page["first"]["maps"] == plan.maps(plan.settings.train, "deepusps-seed0")
    links = [link["to"] for step in page["steps"] for link in step.get("links", [])]
    name = plan.settings.train
    assert links == [f"../masks/{name}/deepusps-seed0", "gallery/index.html", f"doubts-{name}.csv"]
    assert plan.models[0] in page["steps"][1]["command"]
    assert f"--only results/report/doubts-{name}.csv" in page["steps"][3]["command"]
    assert "Scores" not in [chapter["title"] for chapter in page["chapters"]]
    assert list(plan.layers(name)) == ["deepusps-seed0", "rbd", "mc", "spectral-selfment"]


def test_the_gallery_has_every_stage_of_every_method_after_its_maps(everything):
    layers = list(everything.layers("d"))
    assert layers[: len(everything.finals)] == everything.finals
    at = layers.index("rbd")
    assert layers[at : at + 4] == ["rbd", "rbd-iter0", "rbd-iter1", "rbd-iter2"]
    assert everything.layers("d")["rbd-iter1"] == everything.labels("d", "rbd-iter1")


def test_a_caption_that_names_what_there_is_not_is_one_line(everything):
    with pytest.raises(UsageError, match="caption of scores-t.md: .*has no attribute 'system'"):
        contents(everything, lambda name: "Of {{ snakemake.wildcards.system }}", figures(everything))
