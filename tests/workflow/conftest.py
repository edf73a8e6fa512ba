import copy
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from .. import forked
from . import starter

ROOT = Path(__file__).parents[2]

TINY = {
    "datasets": {"demo": {"root": "demo", "split": "train"}, "demo-test": {"root": "demo", "split": "test"}},
    "train": "demo",
    "test": ["demo-test"],
    "scenes": {"train": 10, "test": 4, "size": 64, "seed": 0},
    "size": 48,
    "maps": {"chunks": 2},
    "methods": {"rbd": {}, "mc": {}},
    "network": {"name": "light", "light_width": 8},
    "deepusps": {
        "refine": {"iterations": 1, "epochs": 1, "batch_size": 5, "lr": 0.002, "crf": {"bilateral_sxy": 10}},
        "fuse": {"epochs": 1, "batch_size": 5, "lr": 0.002},
    },
    "systems": ["deepusps", "a2s", "ldps", "wss"],
    "wss": {
        "rounds": 1,
        "pretrain": {"epochs": 1, "batch_size": 5},
        "crf": {"count": 60},
        "selftrain": {"epochs": 1, "batch_size": 5},
    },
    "ldps": {"train": {"iterations": 2}, "single": {"iterations": 1}},
    "a2s": {
        "stage1": {"random_encoder": True, "epochs": 1, "lr": 0.1},
        "pseudo_labels": {"crf": {"bilateral_sxy": 10}},
        "stage2": {"epochs": 1, "lr": 0.002},
    },
    "benchmark": {"stages": False, "crf": None},
    "report": {"examples": 2},
}


A2S = {
    f"demo/a2s/{stage}/{name}"
    for stage in ("stage1", "stage2")
    for name in ("labels.h5", "model.safetensors", "history.csv")
}


def changed(**sections):
    config = copy.deepcopy(TINY)
    config.update(sections)
    return config


class Project:
    """A folder with a config.yaml in which Snakemake runs the project's workflow."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.configure(TINY)

    def configure(self, config: dict) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def snakemake(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess:
        """Run it; standard output and standard error come back together in `stdout`. `path` leads to another usod."""
        if path is None:
            path = os.pathsep.join([str(Path(forked.command()).parent), os.environ["PATH"]])
        words = ["--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--directory", str(self.folder), *arguments]
        output = Path(f"{self.folder}.snakemake.log")  # nothing of ours in the folder that is looked at
        return starter.snakemake(words, Path.cwd(), {**os.environ, "PATH": path}, output)

    def planned(self, *arguments: str) -> set[str]:
        """Output files of the jobs that would run now, relative to results/."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        lines = [line.strip() for line in done.stdout.splitlines()]
        assert "Nothing to be done" in done.stdout or any(line.startswith("output: ") for line in lines)
        outputs = [part for line in lines if line.startswith("output: ") for part in line[8:].split(", ")]
        return {output.removeprefix("results/").removesuffix(" (send to storage)") for output in outputs}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """The tiny workflow, run to its end once for all tests of this session's process."""
    project = Project(tmp_path_factory.mktemp("finished"))
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def project(tmp_path) -> Project:
    """The tiny workflow, not run yet."""
    return Project(tmp_path)
