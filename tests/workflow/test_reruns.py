"""What a change makes the workflow do again: exactly what depends on it."""

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from .conftest import ROOT, TINY, Project

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("reruns")]

CONFIG = {
    "datasets": {"photos": {"root": "photos", "has_masks": False}, "other": {"root": "other"}},
    "train": "photos",
    "test": ["other"],
    **{key: TINY[key] for key in ("size", "network", "benchmark", "report")},
    "methods": {"rbd": {}, "mc": {}},
    "maps": {"chunks": 1},
    "deepusps": {
        "refine": {"iterations": 1, "epochs": 1, "batch_size": 4, "lr": 0.002, "crf": None},
        "fuse": {"epochs": 1, "batch_size": 4, "lr": 0.002},
    },
}


class Copy(Project):
    """A project with sources of its own, so that one of them can be edited."""

    def __init__(self, folder):
        super().__init__(folder)
        for name in ("src", "workflow", "envs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name in ("Snakefile", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        rng = np.random.default_rng(0)
        for number in range(6):
            self.draw("photos", number, rng)
        for number in range(2):
            self.draw("other/images", number, rng)
            mask = np.zeros((48, 64), np.uint8)
            mask[12:36, 20:44] = 255
            (folder / "other/masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(folder / f"other/masks/{number}.png")
        self.configure(CONFIG)

    def draw(self, place, number, rng):
        image = rng.integers(60, 120, (48, 64, 3), dtype=np.uint8)
        image[12:36, 20:44] = rng.integers(0, 256, 3)
        (self.folder / place).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(self.folder / place / f"{number}.jpg")

    def snakemake(self, *arguments):
        paths = f"{self.folder / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        tools = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(self.folder), *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "PATH": tools},
            check=False,
        )

    def made_again(self, *arguments):
        """Planned files without scores, pictures and tables."""
        return {
            name
            for name in self.planned(*arguments)
            if not name.startswith(("report/", "predictions/", "scores/", "masks/", "models/"))
        }

    def digests(self):
        """Of everything that a step has written, tables and pictures apart."""
        files = (self.folder / "results").rglob("*.*")
        kinds = {".h5", ".safetensors"}
        return {
            file.relative_to(self.folder / "results").as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.suffix in kinds
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    project = Copy(tmp_path_factory.mktemp("reruns"))
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def project(made):
    """The finished project; configuration and sources are put back afterwards."""
    source = made.folder / "src/usod/handcrafted/_mc.py"
    text, status = source.read_text(), source.stat()
    yield made
    made.configure(CONFIG)
    source.write_text(text)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


def changed(**keys):
    return yaml.safe_load(yaml.safe_dump({**CONFIG, **keys}))


def stages(method, again=""):
    names = ("labels.h5", "model.safetensors", "history.csv")
    return {f"photos/deepusps/{method}/iter{k}{again}/{name}" for k in (0, 1) for name in names}


def fusion(seed):
    return {f"photos/deepusps/fusion/seed{seed}/{name}" for name in ("model.safetensors", "history.csv")}


def test_nothing_is_made_twice(project):
    assert project.planned() == set()


def test_one_more_seed_is_one_more_training_of_all_from_the_same_maps(project):
    project.configure(changed(deepusps={**CONFIG["deepusps"], "seeds": [0, 1]}))
    planned = project.planned()
    own = {name for method in ("rbd", "mc") for name in stages(method, "-seed1")}
    assert {name for name in planned if name.startswith("photos/")} == own | fusion(1)
    assert {name for name in planned if name.startswith(("predictions/", "scores/", "masks/", "models/"))} == {
        *(f"scores/other/deepusps-seed1.{ending}" for ending in ("csv", "json")),
        "predictions/other/deepusps-seed1.h5",
        "predictions/photos/deepusps-seed1.h5",
        "masks/photos/deepusps-seed1",
        "models/photos/deepusps-seed1.safetensors",
    }


def test_the_settings_of_one_method_reach_its_maps_its_stages_and_the_fusion(project):
    project.configure(changed(methods={"rbd": {}, "mc": {"params": {"n_segments": 150}}}))
    maps = {f"{data}/maps/{name}" for data in ("photos", "other") for name in ("mc.h5", "mc.1-of-1.h5")}
    assert project.made_again() == maps | stages("mc") | fusion(0)


def test_an_edited_source_reaches_what_runs_it(project):
    source = project.folder / "src/usod/handcrafted/_mc.py"
    source.write_text(source.read_text() + "\n# a remark\n")
    assert project.planned() == set()
    source.write_text(source.read_text() + "\nANSWER = 42\n")
    maps = {f"{data}/maps/{name}" for data in ("photos", "other") for name in ("mc.h5", "mc.1-of-1.h5")}
    assert project.made_again() == maps | stages("mc") | fusion(0)


def test_touched_sources_with_the_same_text_reach_nothing(project):
    """A fresh checkout, or a restored backup, has other dates."""
    for source in (project.folder / "src").rglob("*.py"):
        os.utime(source)
    assert project.planned() == set()


def test_the_same_project_in_another_folder_has_nothing_to_do(project, tmp_path):
    """Sources, photographs and results, all at another path with a blank in it."""
    other = Copy.__new__(Copy)
    other.folder = tmp_path / "moved here"
    shutil.copytree(project.folder, other.folder, ignore=shutil.ignore_patterns("__pycache__", "locks"))
    assert other.planned() == set()


def test_results_are_kept_after_an_update_that_does_not_matter(project, tmp_path):
    """As the guide says: --touch."""
    other = Copy.__new__(Copy)
    other.folder = tmp_path / "updated"
    shutil.copytree(project.folder, other.folder, ignore=shutil.ignore_patterns("__pycache__", "locks"))
    source = other.folder / "src/usod/handcrafted/_mc.py"
    source.write_text(source.read_text() + "\nANSWER = 42\n")
    assert other.planned()
    before = other.digests()
    done = other.snakemake("--touch")
    assert done.returncode == 0, done.stdout
    assert other.planned() == set() and other.digests() == before


def test_one_image_more_is_read_with_the_others_and_the_test_set_is_left_alone(project):
    project.draw("photos", 99, np.random.default_rng(1))
    try:
        made = project.made_again()
    finally:
        (project.folder / "photos/99.jpg").unlink()
    assert {"photos/index.csv", "photos/images.h5", "photos/maps/rbd.h5"} | stages("rbd") | fusion(0) <= made
    assert not [name for name in made if name.startswith("other/")]


@pytest.mark.parametrize("years", [-10, 10])
def test_results_of_another_clock_are_taken_as_they_are(project, years):
    """A restored backup, or a file server whose clock is off: all dates are shifted, the order among them is kept."""
    shift = years * 365 * 86400 * 10**9
    files = [file for file in (project.folder / "results").rglob("*") if file.is_file()]
    for sign in (1, -1):
        for file in files:
            status = file.stat()
            os.utime(file, ns=(status.st_atime_ns + sign * shift, status.st_mtime_ns + sign * shift))
        if sign == 1:
            planned = project.planned()
    assert planned == set()


def test_a_method_that_goes_leaves_the_others_bits_as_they_are(project):
    before = project.digests()
    project.configure(changed(methods={"rbd": {}}))
    assert project.made_again() == fusion(0)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    after = project.digests()
    assert {name for name in before if before[name] != after[name]} == {
        "photos/deepusps/fusion/seed0/model.safetensors",
        "models/photos/deepusps-seed0.safetensors",
        "predictions/other/deepusps-seed0.h5",
        "predictions/photos/deepusps-seed0.h5",
    }
    project.configure(CONFIG)
    assert project.made_again() == fusion(0), "back again: its maps and stages are still there"
