"""Human masks of training images, and several sets in one training, as the workflow plans them."""

import re

import numpy as np
from PIL import Image

from .conftest import changed


def jobs(project, *arguments):
    """(rule, its input files, its output files, its command) of the jobs of a dry run."""
    done = project.snakemake("--dry-run", "--printshellcmds", *arguments)
    assert done.returncode == 0, done.stdout
    found = []
    for block in re.split(r"\n(?:local)?rule ", done.stdout)[1:]:
        lines = dict(re.findall(r"^    (input|output): (.*)$", block, re.MULTILINE))
        files = [lines.get(key, "").split(", ") for key in ("input", "output")]
        found.append(
            (block.partition(":")[0], *files, "".join(re.findall(r"^Shell command: (.*)$", block, re.MULTILINE)))
        )
    return found


def test_every_training_with_labels_learns_the_masks_and_no_other_step(project):
    (project.folder / "mended").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(project.folder / "mended/x.png")
    project.configure(changed(corrections={"masks": "mended", "weight": 4}))
    planned = jobs(project)
    read = {rule for rule, inputs, *_ in planned if "results/demo/corrections.h5" in inputs}
    assert read == {
        *("refine_labels", "fuse_labels", "a2s_stage2", "train_relations", "learn_estimates"),
        "export_masks",
    }
    (made,) = [inputs for rule, inputs, *_ in planned if rule == "read_corrections"]
    assert sorted(made) == ["mended", "results/demo/index.csv"], "the ground truth stays apart"
    scored = [inputs for rule, inputs, *_ in planned if rule == "score_maps"]
    told = [inputs for inputs in scored if "results/demo/corrections.csv" in inputs]
    assert told and all(("results/demo/masks.csv" in inputs) == (inputs in told) for inputs in scored)


def test_sets_are_trained_on_together_and_computed_once_alone(project):
    (project.folder / "mended").mkdir()
    sets = {"train": ["demo", "demo-test"], "test": ["demo-test"], "systems": ["deepusps"]}
    project.configure(changed(**sets, labels={"formats": ["coco"]}, corrections="mended"))
    planned = jobs(project, "all", "labels")
    extracted = {part for rule, _, outputs, _ in planned if rule == "extract_maps" for part in outputs}
    assert {file.split("/")[1] for file in extracted} == {"demo", "demo-test"}
    joined = {file: inputs for rule, inputs, outputs, _ in planned if rule == "join_sets" for file in outputs}
    assert "results/demo/maps/rbd.h5" in joined["results/demo-and-demo-test/maps/rbd.h5"]
    trained = {inputs[0] for rule, inputs, *_ in planned if rule in ("refine_labels", "fuse_labels")}
    assert trained == {"results/demo-and-demo-test/images.h5"}
    (leaks,) = [inputs for rule, inputs, *_ in planned if rule == "find_leaks"]
    assert {"results/demo-and-demo-test/index.csv", "results/demo-test/index.csv"} <= set(leaks)
    for named in ("export_masks", "write_labels", "make_gallery"):
        ((inputs, command),) = [(inputs, command) for rule, inputs, _, command in planned if rule == named]
        assert "results/data/scenes" in inputs, named
        assert "--part demo=results/data/scenes --part demo-test=results/data/scenes" in command, named
    (written,) = [inputs for rule, inputs, *_ in planned if rule == "write_labels"]
    assert "results/demo-and-demo-test/corrections.h5" in written
    told = [command for rule, *_, command in planned if rule == "score_maps"]
    file = "results/demo-and-demo-test/corrections.csv"
    # Of the part that is a test set, too, the same images were learnt.
    assert {each.split("--without ")[1].split(" --protocol")[0] for each in told} == {file, f"{file} --part demo-test"}


def test_a_mask_mended_within_the_folder_of_images_lists_no_image_anew(project):
    photos = project.folder / "photos"
    for name in ("photos/a.jpg", "photos/mended/a.png"):
        (project.folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48)).save(project.folder / name)
    sets = {"datasets": {"photos": {"root": "photos", "has_masks": False}}, "train": "photos", "test": []}
    project.configure(changed(**sets, systems=["deepusps"], corrections="photos/mended"))
    index = "results/photos/index.csv"
    done = project.snakemake(index)
    assert done.returncode == 0 and len((project.folder / index).read_text().splitlines()) == 2, done.stdout
    Image.new("L", (64, 48), 255).save(photos / "mended/a.png")
    assert not project.planned(index)
