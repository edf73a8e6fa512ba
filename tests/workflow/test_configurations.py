"""What is planned for a configuration, what a wrong one is told, and what comes of a folder of one's own images."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from .conftest import A2S, ROOT, TINY, changed

pytestmark = pytest.mark.workflow


def test_a_configuration_on_the_command_line_stands_alone(project):
    """Whatever config.yaml lies in the folder."""
    (project.folder / "mine.yaml").write_text(yaml.safe_dump(changed(methods={"bsca": {}}, systems=["deepusps"])))
    planned = project.planned("--configfile", str(project.folder / "mine.yaml"))
    assert "demo/maps/bsca.h5" in planned and not [name for name in planned if "rbd" in name or "a2s" in name]


def test_a_preset_by_name_is_the_base_of_ones_own_keys(project):
    planned = project.planned("--config", "preset=smoke", "methods={bsca: {}}", "systems=[ldps]")
    assert "demo/ldps/bsca/labels.h5" in planned and "demo/ldps/rbd/labels.h5" in planned
    done = project.snakemake("--dry-run", "--config", "preset=nosuch")
    assert done.returncode and "preset=nosuch: no such file" in done.stdout and "own_images" in done.stdout


def test_the_jobs_find_usod_without_an_activated_environment(project):
    done = project.snakemake("results/demo/index.csv", path="/usr/bin:/bin")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("configured", "told"), [("true", "1"), ("false", "")])
def test_jobs_are_told_that_their_bits_must_be_the_same_every_time(project, tmp_path, monkeypatch, configured, told):
    monkeypatch.delenv("USOD_DETERMINISTIC", raising=False)
    usod = tmp_path / "bin" / "usod"  # tells what it was told, and makes the folder that is asked for
    usod.parent.mkdir()
    usod.write_text(
        f"""#!/bin/sh
'''exec' "{sys.executable}" "$0" "$@"
' '''
import os, pathlib
os.makedirs("results/data/scenes")
pathlib.Path("told").write_text(os.environ.get("USOD_DETERMINISTIC", ""))
"""
    )
    usod.chmod(0o755)
    path = f"{usod.parent}:/usr/bin:/bin"
    done = project.snakemake("results/data/scenes", "--config", f"deterministic={configured}", path=path)
    assert done.returncode == 0, done.stdout
    assert (project.folder / "told").read_text() == told


def test_systems_that_are_not_asked_for_are_not_trained(project):
    project.configure(changed(systems=["a2s"]))
    planned = project.planned()
    assert planned >= A2S and not [
        name for name in planned if "deepusps" in name or "stages-" in name or "ldps" in name
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"sise": 64}, "sise: unknown key"),
        (
            {"network": {"name": "mobilenet_v2", "weights": "no/such.safetensors"}},
            "network.weights: there is no file no/such.safetensors",
        ),
        (
            {"datasets": {"demo": {"root": "nowhere", "tags": "folders"}, "demo-test": {"root": "demo"}}},
            "datasets.demo.root: no folder 'nowhere'",
        ),
        ({"methods": {"theirs": {"maps": "no/{dataset}"}}}, "methods.theirs.maps: no folder or file 'no/demo'"),
        ({"ablations": ["nosuch"]}, "ablations: no table 'nosuch'"),
    ],
)
def test_a_wrong_configuration_is_one_line_before_any_work(project, change, line):
    project.configure(changed(**change))
    done = project.snakemake()
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert len([text for text in done.stdout.splitlines() if line in text]) == 1
    assert not (project.folder / "results").exists()


def test_weights_are_brought_once_and_read_by_every_training(project, tmp_path):
    (tmp_path / "w.safetensors").touch()
    mine = str(tmp_path / "w.safetensors")
    project.configure(changed(network={"name": "timm/test_resnet", "weights": mine}, systems=["deepusps", "a2s"]))
    brought = {name for name in project.planned() if name.startswith("weights/")}
    assert len(brought) == 2 and {name.rpartition(".")[2] for name in brought} == {"weights", "json"}
    done = project.snakemake("--dry-run", "--printshellcmds").stdout
    (file,) = (name for name in brought if name.endswith(".weights"))
    trainings = [line for line in done.splitlines() if "--network" in line and "weights bring" not in line]
    assert len(trainings) == 7 and all(f"--weights results/{file}" in line for line in trainings)
    assert f"--weights {mine} --out results/{file}" in done


def test_features_of_a_frozen_encoder_are_computed_once_for_all_that_learn_from_them(project, tmp_path):
    (tmp_path / "w.safetensors").touch()
    network = {"name": "timm/test_vit", "weights": str(tmp_path / "w.safetensors"), "frozen": True}
    project.configure(changed(network=network, systems=["deepusps"]))
    files = [name for name in project.planned() if "/features/" in name]
    assert sorted(Path(name).parent.parent.name for name in files) == ["demo", "demo-test"]
    (train,) = (name for name in files if name.startswith("demo/"))
    calls = project.snakemake("--dry-run", "--printshellcmds").stdout.splitlines()
    made = [line for line in calls if "usod features " in line]
    assert len(made) == 2 and all('"name":"timm/test_vit"' in line for line in made)
    readers = [line for line in calls if f"--features results/{train}" in line]
    assert sum(" deepusps refine " in line for line in readers) == 4 and sum(" fuse " in line for line in readers) == 1
    assert all("--features" in line for line in calls if " usod predict " in line and "images.h5" in line)
    # Another head reads the same file; other layers do not.
    project.configure(changed(network=network | {"head": "skip"}, systems=["deepusps"]))
    assert train in project.planned()
    project.configure(changed(network=network | {"features": {"layers": [-2]}}, systems=["deepusps"]))
    assert train not in project.planned()


def test_spectral_labels_are_cut_from_the_features_that_they_ask_for(project, tmp_path):
    (tmp_path / "w.safetensors").touch()
    network = {"name": "timm/test_vit", "weights": str(tmp_path / "w.safetensors")}
    spectral = {"network": network, "recipes": ["selfment", "found"]}
    learns = {**TINY["deepusps"], "labels": ["spectral-tokencut"]}
    project.configure(changed(systems=["spectral", "deepusps"], spectral=spectral, deepusps=learns))
    done = project.snakemake("--dry-run", "--printshellcmds", "all", "export")
    assert done.returncode == 0 and "results/masks/demo/spectral-found" in done.stdout, done.stdout
    lines = re.findall(r"usod features .*|usod spectral .*", done.stdout)
    made = [re.search(r'"what":"(\w+)".* --out (\S+)', line) for line in lines if line.startswith("usod features")]
    sees = {found[2]: found[1] for found in made}
    cuts = [line for line in lines if line.startswith("usod spectral")]
    read = {
        (line.split()[2], o, sees[f]) for line in cuts for o, f in re.findall(r"--(features|attention) (\S+)", line)
    }
    found = {("found", "features", "keys"), ("found", "attention", "attention")}
    assert read == {("selfment", "features", "tokens"), ("tokencut", "features", "keys"), *found}
    assert len(cuts) == 6 and len(sees) == 6, "three kinds of two data sets, each once"
    assert "export/spectral" not in done.stdout, "there is no network"


def test_a_vote_is_taken_of_maps_and_labels_and_learnt(project):
    labels = ["rbd", "mc", "rbd-iter0"]
    learns = {**TINY["deepusps"], "labels": ["vote"]}
    vote = {"labels": labels, "rule": "weighted", "soft": True, "threshold": 0.4}
    project.configure(changed(systems=["vote", "deepusps"], vote=vote, deepusps=learns))
    done = project.snakemake("--dry-run", "--printshellcmds", "all", "export")
    assert done.returncode == 0 and "results/masks/demo/vote" in done.stdout, done.stdout
    calls = {line.rsplit("--out ")[1].split()[0]: line for line in re.findall(r"usod vote .*", done.stdout)}
    assert set(calls) == {f"results/{name}/vote/labels.h5" for name in ("demo", "demo-test")}
    train = calls["results/demo/vote/labels.h5"]
    assert "--maps rbd=results/demo/maps/rbd.h5 --maps mc=results/demo/maps/mc.h5" in train
    assert "--labels rbd-iter0=results/demo/deepusps/rbd/iter0/labels.h5 --rule weighted --soft" in train
    assert "--threshold 0.4 --threshold-factor 1.5" in train
    assert "rbd-iter0=results/predictions/demo-test/rbd-iter0.h5" in calls["results/demo-test/vote/labels.h5"]
    assert "usod deepusps fuse --images results/demo/images.h5 --labels vote=results/demo/vote/labels.h5" in done.stdout


def test_without_internet_a_run_ends_before_its_first_job(project, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(project.folder / "empty"))
    project.configure(changed(network={"name": "timm/vit_small_patch14_dinov2", "weights": "DEFAULT"}))
    assert project.snakemake("--dry-run").returncode == 0
    done = project.snakemake("--keep-going")
    lines = [line for line in done.stdout.splitlines() if "vit_small_patch14_dinov2.lvd142m of timm is not in" in line]
    assert done.returncode == 1 and len(lines) == 1 and "HF_HUB_OFFLINE is set" in lines[0]
    assert not (project.folder / "results").exists()


@pytest.mark.parametrize("name", ["masks", "all"])
def test_a_table_called_like_a_target_is_one_line(project, name):
    shutil.copy(ROOT / "workflow/presets/ablations/a2s_table8.yaml", project.folder / f"{name}.yaml")
    project.configure(changed(ablations=[f"{name}.yaml"]))
    done = project.snakemake("--dry-run")
    assert done.returncode != 0 and f"ablations: {name}.yaml: rename it" in done.stdout, done.stdout


@pytest.mark.parametrize("fault", ["truncated", "empty", "mask size"])
def test_bad_data_is_one_line_and_leaves_nothing_half_written(project, tmp_path, fault):
    data = tmp_path / "data"
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
    if fault != "empty":
        Image.effect_noise((64, 48), 90).convert("RGB").save(data / "images/a.jpg")
        Image.new("L", (30, 48) if fault == "mask size" else (64, 48), 255).save(data / "masks/a.png")
    if fault == "truncated":
        (data / "images/a.jpg").write_bytes((data / "images/a.jpg").read_bytes()[:600])
    project.configure(changed(datasets={"d": {"root": str(data)}}, train="d", test=["d"], systems=["deepusps"]))
    target = "results/d/masks.csv" if fault == "mask size" else "results/d/index.csv"
    done = project.snakemake(target)
    errors = [text for text in done.stdout.splitlines() if "usod: error:" in text]
    assert done.returncode != 0 and len(errors) == 1
    assert {"truncated": "a.jpg", "empty": "data", "mask size": "a.png"}[fault] in errors[0]
    assert list((project.folder / "results/d").glob("*")) == []


def test_a_folder_of_odd_files_ends_with_masks(project, tmp_path):
    folder = tmp_path / "my photos"
    (folder / "Urlaub Köln").mkdir(parents=True)
    for number, name in enumerate(("a b.jpg", "Urlaub Köln/ä.png", "copy.jpg", "phone.jpg", "c.webp", "c.gif")):
        image = Image.effect_noise((64, 48), 90).convert("RGB")
        image.paste((200, 40, 40 * number), (20, 12, 44, 36))
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "phone.jpg" else 1  # held upright
        image.save(folder / name, **({"exif": exif} if name.endswith("jpg") else {}))
    shutil.copy(folder / "a b.jpg", folder / "copy.jpg")
    (folder / "notes.txt").write_text("not an image")
    refine, fuse = {"iterations": 0, "epochs": 1, "min_steps": 0}, {**TINY["deepusps"]["fuse"], "min_steps": 0}
    small = changed(systems=["deepusps"], deepusps={"labels": None, "refine": refine, "fuse": fuse})
    for key in ("datasets", "train", "test", "scenes", "a2s", "wss", "ldps"):
        del small[key]
    small["network"] = {"name": "light", "light_width": 8, "weights": "none", "frozen": False}
    small["methods"] = {"mc": {}}
    (project.folder / "small.yaml").write_text(yaml.safe_dump(small))
    done = project.snakemake("--configfile", str(project.folder / "small.yaml"), "--config", f"images={folder}")
    assert done.returncode == 0 and "Masks: results/masks/my-photos/deepusps-seed0" in done.stdout, done.stdout
    masks = project.folder / "results/masks/my-photos/deepusps-seed0"
    sizes = {p.relative_to(masks).as_posix(): Image.open(p).size for p in masks.rglob("*.png")}
    upright = ("a b.png", "Urlaub Köln/ä.png", "copy.png", "c.webp.png", "c.gif.png")
    expected = dict.fromkeys(upright, (64, 48)) | {"phone.png": (48, 64)}
    assert sizes == expected
    assert set(np.unique(np.asarray(Image.open(masks / "c.gif.png")))) <= {0, 255}
    assert not list((project.folder / "results/my-photos").glob("masks.csv"))


def test_ones_own_images_need_no_configuration_and_every_folder_has_its_results(project):
    (project.folder / "config.yaml").unlink()
    for folder in ("photos", "other photos"):
        (project.folder / folder).mkdir()
    first = project.planned("--config", "images=photos")
    assert {"masks/photos/deepusps-seed0", "photos/deepusps/fusion/seed0/model.safetensors"} <= first
    second = project.planned("--config", "images=other photos", "report={gallery: false}")
    assert "report/gallery" in first and "report/gallery" not in second
    assert not {name for name in first & second if not name.startswith(("report/", "weights/"))}


def test_a_folder_of_photographs_can_be_the_working_folder(project):
    """Its results are no photographs, whatever lies in them when it is run again."""
    for number in range(3):
        Image.effect_noise((64, 48), 90).convert("RGB").save(project.folder / f"{number}.jpg")
    (project.folder / "config.yaml").unlink()
    name = project.folder.name
    for _ in range(2):
        done = project.snakemake(f"results/{name}/index.csv", "--config", "images=.")
        assert done.returncode == 0, done.stdout
        (project.folder / f"results/masks/{name}/deepusps-seed0").mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 48), 255).save(project.folder / f"results/masks/{name}/deepusps-seed0/0.png")
    assert "Nothing to be done" in done.stdout
    assert pd.read_csv(project.folder / f"results/{name}/index.csv")["id"].astype(str).tolist() == ["0", "1", "2"]


def test_the_smoke_preset_plans(project):
    shutil.copy(ROOT / "workflow/presets/smoke.yaml", project.folder / "config.yaml")
    assert {"demo/a2s/stage2/model.safetensors", "report/activations-demo.png"} <= project.planned()


@pytest.mark.parametrize("name", ["a2s_v2", "a2s_v3"])
def test_the_presets_of_a2s_successors_plan(project, name):
    """With folders and a checkpoint in the places that they name; their scores stand beside three published tables."""
    preset = yaml.safe_load((ROOT / f"workflow/presets/{name}.yaml").read_text())
    for root in {section["root"] for section in preset["datasets"].values()} | {"weights"}:
        (project.folder / root).mkdir(parents=True, exist_ok=True)
    (project.folder / preset["network"]["weights"]).touch()
    project.configure(preset)
    done = project.snakemake("--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout
    tables = [line for line in done.stdout.splitlines() if "usod report scores" in line]
    assert len(tables) == 6 and all(
        "--reference a2s_table2 --reference a2s_successors --reference csnet" in line for line in tables
    )
    (first,) = (line for line in done.stdout.splitlines() if "usod a2s stage1" in line)
    (second,) = (line for line in done.stdout.splitlines() if "usod a2s stage2" in line)
    assert '"loss":"csd"' in first and '"head":{"name":"gated"}' in first and '"loss":"iou"' in second


def test_the_preset_of_wss_makes_what_its_paper_compares_and_no_more(project):
    """Native layouts, two images each; nothing handcrafted of half a million training images that learn from tags."""
    data, rng = project.folder / "data", np.random.default_rng(0)
    files = [
        *(f"ILSVRC/Data/DET/train/ILSVRC2013_train/n0{k}/{k}.JPEG" for k in range(2)),
        *(f"SED/{kind}/a{kind[0]}/{of}/a.png" for kind in ("1obj", "2obj") for of in ("src_color", "human_seg")),
        *(f"THUR15K/{kind}/Src/1.{ending}" for kind in ("Butterfly", "Plane") for ending in ("jpg", "png")),
        *("ECSSD/images/1.jpg", "ECSSD/ground_truth_mask/1.png", "HKU-IS/imgs/1.png", "HKU-IS/gt/1.png"),
        *("PASCAL-S/datasets/imgs/pascal/1.jpg", "PASCAL-S/datasets/masks/pascal/1.png"),
        *("DUTS-TE/DUTS-TE-Image/1.jpg", "DUTS-TE/DUTS-TE-Mask/1.png"),
    ]
    for file in files:
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3)).astype(np.uint8)).save(data / file)
    (data / "ILSVRC/Annotations/DET/train").mkdir(parents=True)
    shutil.copy(ROOT / "workflow/presets/wss.yaml", project.folder / "config.yaml")
    planned = project.planned()
    maps = {name for name in planned if "/maps/" in name and name.count(".") == 1}
    sets = ("ECSSD", "SED", "PASCAL-S", "THUR15K", "HKU-IS", "DUTS-TE")
    assert maps == {f"{data_set}/maps/{method}.h5" for data_set in sets for method in ("rbd", "mbd", "bsca")}
    assert "DET/wss/iter1/model.safetensors" in planned and not any("doubts" in name for name in planned)
    assert {f"report/scores-{data_set}.csv" for data_set in sets} <= planned
    figure = project.planned("wss_figure6")
    trained = {name for name in figure if name.endswith("model.safetensors")}
    assert len([name for name in trained if "pretrain" in name]) == 5, "GSP, GAP, GMP, log-sum-exp, ranks"
    assert {name for name in trained if "pretrain" not in name} == {"DET/wss/average/model.safetensors"}
    assert len([name for name in figure if name.startswith("predictions/SED/wss-")]) == 6, "WSS1-CRF's are FIN1's"
    pictures = project.planned("wss_figure2")
    assert {f"report/wss_figure2-maps-{data_set}.png" for data_set in sets} <= pictures
    assert "predictions/SED/spcrf-wss-pretrain.h5" in pictures


@pytest.fixture
def authors_maps(project):
    """Configures a preset of LDPS, with its folders of maps of others; of the training images PiCANet's alone."""

    def make(name):
        preset = yaml.safe_load((ROOT / f"workflow/presets/{name}.yaml").read_text())
        for section in preset["datasets"].values():
            (project.folder / section["root"]).mkdir(parents=True)
        for method, section in preset["methods"].items():
            for dataset in [*preset["test"], *([preset["train"]] if method == "picanet" else [])]:
                if section:
                    (project.folder / section["maps"].replace("{dataset}", dataset)).mkdir(parents=True)
        project.configure(preset)

    return make


@pytest.mark.parametrize(("name", "networks"), [("ldps", 4), ("ldps_as_released", 4), ("ldps_handcrafted", 12)])
def test_every_table_of_ldps_plans(project, authors_maps, name, networks):
    """One network for all priors, learnt from PiCANet's maps; one more with VGG-16, two with other thresholds."""
    authors_maps(name)
    done = project.snakemake("--dry-run", "--printshellcmds", *(f"ldps_table{number}" for number in range(1, 6)))
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    trained = [line for line in lines if "usod ldps train" in line]
    assert len(trained) == networks
    assert name == "ldps_handcrafted" or all("DUTS-TE/maps/picanet.h5" in line for line in trained)
    crf = [line for line in lines if "usod crf refine" in line]
    assert crf and all("--index" in line and '"bilateral_sxy":80.0' in line for line in crf)


def test_maps_to_learn_from_must_be_there(project, authors_maps):
    authors_maps("ldps")
    shutil.rmtree(project.folder / "data/priors/PiCANet/DUTS-TE")
    done = project.snakemake("--dry-run", "ldps_table1")
    assert done.returncode and "Traceback" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "methods.picanet.maps: no folder or file" in line)
    assert "'data/priors/PiCANet/DUTS-TE'" in line and "docs/reproduce.md" in line


def test_the_default_configuration_is_the_demo(project):
    shutil.copy(ROOT / "config.yaml", project.folder / "config.yaml")
    assert len([name for name in project.planned() if name.endswith("labels.h5")]) == 12
