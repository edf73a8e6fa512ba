"""The workflow from end to end on a handful of scenes, and what a change makes it do again."""

import json
import re
import shutil
from pathlib import PurePath

import pandas as pd
import pytest

from usod.plan import Plan
from usod.reporting.contents import figures, report_path
from usod.running.status import read_status
from usod.settings.ablations import Variants
from usod.settings.config import parse_config

from .conftest import A2S, TINY, changed

# One run serves all tests here, so they stay in one process.
pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

RBD_STAGES = {
    f"demo/deepusps/rbd/iter{k}/{name}" for k in (0, 1) for name in ("labels.h5", "model.safetensors", "history.csv")
}
FUSION = {"demo/deepusps/fusion/seed0/model.safetensors", "demo/deepusps/fusion/seed0/history.csv"}


@pytest.fixture
def restored(finished):
    """The finished project, put back to its configuration afterwards."""
    yield finished
    finished.configure(TINY)


def test_everything_is_made(finished):
    results = finished.folder / "results"
    table = pd.read_csv(results / "report/scores-demo-test.csv")
    assert {"rbd", "mc", "deepusps", "a2s-stage1", "a2s-stage2", "wss-pretrain", "wss-iter0"} <= set(table["system"])
    score = json.loads((results / "scores/demo-test/deepusps-seed0.json").read_text())
    assert score["n"] == 4 and 0 < score["mae"] < 1
    for figure in ("curves-demo-test.svg", "stages-demo.svg", "examples-demo-test.png", "training-demo.svg"):
        assert (results / "report" / figure).stat().st_size > 1000
    assert not list(results.rglob(".resume")), "resume states outlive their trainings"


def test_the_report_makes_what_its_page_shows(finished):
    """Asked for by itself: a file that only another target made would be missing from the page."""
    planned = {name for name in finished.planned("report", "--forceall") if name.startswith("report/")}
    shown = {report_path(figure).removeprefix("results/") for figure in figures(Plan(Variants(parse_config(TINY), {})))}
    assert {name for name in planned if name.endswith((".png", ".svg", ".md"))} == shown
    page = (finished.folder / "results/report/report.html").read_text().partition("<main")[2]
    assert page.count("<img") == len([name for name in shown if not name.endswith(".md")])


def test_the_table_names_the_human_labels_of_every_system(finished):
    """WSS learns from tags; a network without pretraining, and a handcrafted map, from nothing."""
    table = pd.read_csv(finished.folder / "results/report/scores-demo-test.csv").set_index("system")
    labels = table.loc[table["group"] == "this run", "pretraining_labels"].to_dict()
    tagged = {system for system, seen in labels.items() if seen == "image tags"}
    assert tagged == {"wss-pretrain", "wss-iter0"} and {labels[s] for s in set(labels) - tagged} == {"none"}


def test_every_final_system_leaves_its_masks(finished):
    masks = finished.folder / "results/masks/demo"
    assert {folder.name for folder in masks.iterdir()} == {
        "deepusps-seed0",
        "a2s-stage2",
        "wss-iter0",
        "ldps-rbd",
        "ldps-mc",
    }
    assert {len(list(folder.rglob("*.png"))) for folder in masks.iterdir()} == {10}


def test_every_final_system_can_be_exported(finished):
    planned = finished.planned("export")
    assert {f"export/{s}.onnx" for s in ("deepusps-seed0", "a2s-stage2", "wss-iter0", "ldps-rbd", "ldps-mc")} <= planned


def test_a_second_run_has_nothing_to_do(finished):
    done = finished.snakemake()
    assert done.returncode == 0 and "Nothing to be done" in done.stdout


def test_its_status_is_read_from_what_it_leaves(finished):
    status = read_status(finished.folder)
    assert status.state == "finished" and status.done == status.total and not status.failed
    assert not status.jobs and not status.stopped, "jobs that have ended are gone"
    assert {"demo/deepusps/rbd/iter0", "demo/a2s/stage1"} <= {training.name for training in status.trainings}


def test_every_job_has_written_its_log_and_its_timing(finished):
    """As the plan of all jobs names them; costs are summed and origins written of what the others have left."""
    results = finished.folder / "results"
    planned = finished.snakemake("--dry-run", "--forceall").stdout
    named = {
        kind: set(re.findall(rf"^    {kind}: results/(\S+)$", planned, re.MULTILINE)) for kind in ("log", "benchmark")
    }
    assert len(named["log"]) > 60 and all((results / name).is_file() for name in named["log"] | named["benchmark"])
    untimed = {PurePath(name).stem for name in named["log"]} - {PurePath(name).stem for name in named["benchmark"]}
    assert untimed == {"costs", "page", "provenance"}


def test_epochs_of_one_method_touch_that_method_only(restored):
    restored.configure(changed(methods={"rbd": {"refine": {"epochs": 2}}, "mc": {}}))
    planned = restored.planned()
    assert planned >= RBD_STAGES | FUSION
    assert not [name for name in planned if "mc" in name or name.startswith(("demo/maps", "demo/images", "demo/index"))]


def test_the_fusions_learning_rate_touches_no_labels(restored):
    restored.configure(changed(deepusps={**TINY["deepusps"], "fuse": {**TINY["deepusps"]["fuse"], "lr": 0.001}}))
    planned = restored.planned()
    assert planned >= FUSION and not [name for name in planned if "iter" in name and name.startswith("demo/")]


def test_the_detectors_lambda_touches_the_detector_only(restored):
    stage2 = {**TINY["a2s"]["stage2"], "keep": 0.6}
    restored.configure(changed(a2s={**TINY["a2s"], "stage2": stage2}))
    planned = restored.planned()
    assert planned >= {name for name in A2S if "stage2" in name}
    assert not [name for name in planned if "stage1" in name or name.startswith(("demo/deepusps", "demo/maps"))]


def test_the_detector_can_learn_the_labels_of_another_system(restored):
    restored.configure(changed(a2s={**TINY["a2s"], "labels": "rbd-iter1"}))
    (job,) = [line for line in restored.snakemake("-n", "-p").stdout.splitlines() if "usod a2s stage2" in line]
    assert "--labels results/demo/deepusps/rbd/iter1/labels.h5" in job


def test_the_fusion_can_learn_the_labels_of_another_system(restored):
    restored.configure(changed(deepusps={**TINY["deepusps"], "labels": ["rbd-iter1", "a2s-stage1"]}))
    (job,) = [line for line in restored.snakemake("-n", "-p").stdout.splitlines() if "usod deepusps fuse" in line]
    assert "--labels rbd-iter1=results/demo/deepusps/rbd/iter1/labels.h5" in job
    assert "--labels a2s-stage1=results/demo/a2s/stage1/labels.h5" in job and "/mc/" not in job


def test_a_table_of_variants_trains_what_differs_only(restored):
    planned = restored.planned("a2s_table8")
    hma = "demo/a2s/variants/a2s_table8.HMA/stage2/labels.h5"
    assert {hma, "scores/demo-test/a2s-stage2@a2s_table8.HMA.json", "report/a2s_table8.md"} <= planned
    assert not [name for name in planned if "stage1" in name or name.startswith(("demo/a2s/stage2", "demo/maps"))]


def test_a_table_and_its_curves_are_made(finished):
    done = finished.snakemake("a2s_table1", "results/scores/demo/epochs/a2s-stage1.csv", "a2s_table8")
    assert done.returncode == 0, done.stdout
    results = finished.folder / "results"
    assert pd.read_csv(results / "scores/demo/epochs/a2s-stage1.csv")["epoch"].tolist() == [0, 1]
    variance = pd.read_csv(results / "report/a2s_table1.csv", index_col="threshold")
    assert variance.loc["mean", "published"] == 0.1405 and variance["before"].between(0, 0.25).all()
    table = pd.read_csv(results / "report/a2s_table8.csv")
    assert table["row"].tolist()[:2] == ["HMA", "OLR"] and table["f"].notna().sum() == 2


def test_a_threshold_of_refining_does_not_train_again(restored):
    planned = restored.planned("ldps_table4")
    assert "demo-test/ldps/variants/ldps_table4.theta_fg-0.7/rbd/labels.h5" in planned
    assert not [name for name in planned if name.startswith("demo/")]


def test_one_relation_network_can_refine_all_priors(restored):
    restored.configure(changed(ldps={**TINY["ldps"], "learn_from": "mc", "priors": ["rbd", "rbd-iter1"]}))
    jobs = [line for line in restored.snakemake("-n", "-p").stdout.splitlines() if "usod ldps refine" in line]
    assert len(jobs) >= 2 and all("usod ldps refine results/demo/ldps/mc/model.safetensors" in job for job in jobs)


def test_refined_maps_are_scored_and_shown(finished):
    results = finished.folder / "results"
    assert {"ldps-rbd", "ldps-mc"} <= set(pd.read_csv(results / "report/scores-demo-test.csv")["system"])
    for figure in ("changes-demo-test-rbd.png", "tags-demo.png", "activations-demo.png"):
        assert (results / "report" / figure).stat().st_size > 1000


def test_tags_are_learnt_without_a_mask_and_estimates_follow_their_crf(restored):
    wss = {**TINY["wss"], "crf": {"count": 50}}
    restored.configure(changed(wss=wss))
    planned = restored.planned()
    assert {"demo/wss/iter0/labels.h5", "demo/wss/iter0/model.safetensors"} <= planned
    assert not [name for name in planned if "pretrain" in name or name == "demo/wss/iter0/maps.h5"]


def test_how_it_runs_changes_nothing(restored):
    assert restored.planned("--resources", "gpu=4", "--cores", "4") == set()


def test_a_training_on_four_gpus_asks_for_memory_for_four_processes(finished):
    forced = ["--dry-run", "--forcerun", "fuse_labels", "--resources", "gpu=4"]
    asked = []
    for more in ([], ["--set-resources", "fuse_labels:gpu=4"]):
        done = finished.snakemake(*forced, *more)
        assert done.returncode == 0, done.stdout
        (job,) = re.findall(r"rule fuse_labels:.*?mem_mb=(\d+)", done.stdout, re.DOTALL)
        asked.append(int(job))
    assert asked[1] - asked[0] == 3 * 8000


def test_a_deleted_file_is_made_again_with_what_follows(finished):
    labels = finished.folder / "results/demo/deepusps/rbd/iter0/labels.h5"
    kept = labels.with_suffix(".kept")
    shutil.move(labels, kept)
    try:
        planned = finished.planned()
    finally:
        shutil.move(kept, labels)
    assert planned >= RBD_STAGES | FUSION
    assert not [name for name in planned if "/mc/" in name or name.startswith("demo/maps")]


def test_training_cannot_read_a_mask(finished):
    """Whatever has a mask, or anything made from one, above it in the DAG is an evaluation or a report."""
    summary = finished.snakemake("--detailed-summary").stdout.splitlines()
    start = next(i for i, line in enumerate(summary) if line.startswith("output_file"))
    rows = [
        dict(zip(summary[start].split("\t"), line.split("\t"), strict=False))
        for line in summary[start + 1 :]
        if "\t" in line
    ]
    assert len(rows) > 40
    inputs_of = {row["output_file"]: row["input-file(s)"].split(",") for row in rows}
    rule_of = {row["output_file"]: row["rule"] for row in rows}

    def sees_masks(file):
        return file.endswith("masks.csv") or any(sees_masks(name) for name in inputs_of.get(file, []))

    seeing = {rule_of[file] for file in inputs_of if sees_masks(file)}
    assert seeing == {
        "index_masks",
        "make_gallery",
        "score_maps",
        "score_table",
        "plot_curves",
        "plot_label_quality",
        "show_examples",
        "show_changes",
        "show_evolution",
        "sum_costs",
        "write_page",
    }


def test_the_ablations_of_deepusps_share_stages_and_learn_from_masks_as_oracles_only(restored):
    planned = restored.planned("deepusps_table3")
    variants = {name for name in planned if "/variants/" in name and name.endswith("model.safetensors")}
    folder = "demo/deepusps/variants/deepusps_table2"
    rows = ("Direct-fusion-of-handcrafted-methods", "No-self-supervision", "Trained-on-refined-MC-maps-after-iter.-1")
    assert variants >= {f"{folder}.{row}/fusion/seed0/model.safetensors" for row in rows}
    assert {name for name in planned if "/iter" in name or "/maps/" in name} == set(), "the stages are there already"
    reasons = restored.snakemake("--dry-run", "deepusps_table3").stdout.split("\nrule ")
    oracles = [text for text in reasons if "demo/masks.csv" in text and "output: results/demo/" in text]
    assert {text.partition(":")[0] for text in oracles} == {"oracle_masks", "oracle_labels"}
