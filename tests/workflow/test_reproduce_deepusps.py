"""What docs/reproduce.md says of DeepUSPS is planned, on a handful of files in the data sets' own layouts."""

import json
import re

import pytest
from PIL import Image

from .conftest import ROOT

pytestmark = pytest.mark.workflow

FILES = {
    "MSRA-B": [f"{number}_{number}_{number}.{ending}" for number in range(4) for ending in ("jpg", "png")],
    "ECSSD": ["images/0001.jpg", "ground_truth_mask/0001.png"],
    "DUT-OMRON": ["DUT-OMRON-image/im005.jpg", "pixelwiseGT-new-PNG/im005.png"],
    "SED2": ["2obj/b/src_color/b.png", "2obj/b/human_seg/b_1.png", "2obj/b/human_seg/b_2.png"],
}
LISTS = {"train": (0, 1), "valid": (2,), "test": (3,)}


@pytest.fixture
def with_data(project):
    for name, files in FILES.items():
        for file in files:
            path = project.folder / "data" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB" if "human_seg" in file or path.suffix == ".jpg" else "L", (64, 48), 255).save(path)
    for split, numbers in LISTS.items():
        names = "".join(f"{number}_{number}_{number}.jpg\n" for number in numbers)
        (project.folder / f"data/MSRA-B/{split}_cvpr2013.txt").write_text(names)
    weights = project.folder / "weights/drn-d-105_ms_cityscapes.pth"
    weights.parent.mkdir()
    weights.touch()
    return project


def rows():
    """Target -> the files that the page names, of the section's table."""
    section = (ROOT / "docs/reproduce.md").read_text(encoding="utf-8").partition("\n## DeepUSPS\n")[2].split("\n## ")[0]
    found = {}
    for target, files in re.findall(r"^\| [^|]+ \| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE):
        found.setdefault(target, []).extend(re.findall(r"`([\w-]+\.\w+)`", files))
    return found


@pytest.mark.parametrize("preset", ["deepusps", "deepusps_as_released"])
def test_every_target_of_the_page_is_planned(with_data, preset):
    targets = rows()
    assert set(targets) == {"report", "deepusps_table2", "deepusps_table3", "deepusps_figure5", "deepusps_figure6"}
    planned = with_data.planned(*targets, "--configfile", str(ROOT / f"workflow/presets/{preset}.yaml"))
    for target, files in targets.items():
        assert {f"report/{file}" for file in files} <= planned, target
    again = {name for name in planned if re.fullmatch(r"MSRA-B-train/deepusps/rbd/iter\d(-seed\d)?/labels.h5", name)}
    assert len(again) == 3 * (3 if preset == "deepusps" else 1), "three stages of each training"


def test_maps_that_are_fused_directly_have_the_released_thresholds(with_data):
    model = "deepusps/variants/deepusps_table2.Direct-fusion-of-handcrafted-methods/fusion/seed0/model.safetensors"
    preset = str(ROOT / "workflow/presets/deepusps_as_released.yaml")
    done = with_data.snakemake("--dry-run", "-p", f"results/MSRA-B-train/{model}", "--configfile", preset)
    (job,) = [line for line in done.stdout.splitlines() if "usod deepusps fuse" in line]
    given = json.loads(re.search(r"--binarise '(.*?)' ", job)[1])
    released = {"rbd": 0.25, "dsr": 0.23, "mc": 0.31, "hs": 0.36}
    assert {method: how["threshold"] for method, how in given.items()} == released
    assert job.count("--maps") == 4 and "--labels" not in job
