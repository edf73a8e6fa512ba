"""What the project says of itself in several places is the same everywhere."""

import hashlib
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_the_conda_environment_follows_the_lock_file():
    digest = hashlib.sha256((ROOT / "envs/requirements.lock").read_bytes()).hexdigest()[:16]
    assert digest in (ROOT / "envs/usod.post-deploy.sh").read_text(), f"write {digest} into envs/usod.post-deploy.sh"


def test_what_the_readme_names_exists():
    readme = (ROOT / "README.md").read_text()
    for name in re.findall(r"(?:workflow|envs|benchmarks)/[\w./-]*\w", readme):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("change", ["none", "moved", "python gone", "lock"])
def test_an_environment_that_cannot_work_is_made_anew(tmp_path, change):
    """`make -n setup`: nothing where all is well; a lock file that changed is installed over what is there."""
    place = tmp_path / "here"
    (place / ".venv/bin").mkdir(parents=True)
    (place / "envs").mkdir()
    for name in ("Makefile", "pyproject.toml", "envs/requirements.lock"):
        (place / name).write_bytes((ROOT / name).read_bytes())
    (place / ".venv/bin/python").symlink_to(sys.executable)
    (place / ".venv/bin/snakemake").write_text(f"#!{place.resolve()}/.venv/bin/python\n")
    (place / ".venv/installed").touch()
    if change == "moved":
        place = place.rename(tmp_path / "there")
    elif change == "python gone":
        (place / ".venv/bin/python").unlink()
    elif change == "lock":
        os.utime(place / "envs/requirements.lock", (time.time() + 5, time.time() + 5))
    done = subprocess.run(["make", "-n", "setup"], cwd=place, stdout=subprocess.PIPE, text=True, check=True)
    assert ("rm -rf .venv" in done.stdout) == (change in ("moved", "python gone"))
    assert ("--requirement envs/requirements.lock" in done.stdout) == (change != "none")


def test_the_workflow_names_all_its_presets_and_tables():
    """It reaches them through Snakemake, which cannot list a folder of a hosted repository."""
    rules = (ROOT / "workflow/rules/common.smk").read_text()
    for folder in ("workflow/presets", "workflow/presets/ablations"):
        for file in (ROOT / folder).glob("*.yaml"):
            assert f'"{file.stem}"' in rules, file
