"""The workflow as a module of another project's workflow: from a folder, and in the form that github(...) takes."""

import os
import subprocess
import sys

import pytest
import yaml

from .conftest import ROOT, TINY

pytestmark = [pytest.mark.workflow, pytest.mark.faults, pytest.mark.xdist_group("module")]

CONFIG = {
    **TINY,
    "methods": {"rbd": {}},
    "systems": ["deepusps"],
    "deepusps": {**TINY["deepusps"], "refine": {**TINY["deepusps"]["refine"], "iterations": 0}},
}
SNAKEFILE = """
configfile: "mine.yaml"

module usod:
    snakefile: {snakefile}
    prefix: "salient things"
    config: config["usod"]

use rule * from usod as usod_*

rule count:
    default_target: True
    input:
        "salient things/results/masks/demo/deepusps-seed0",
    output:
        "count.txt",
    shell:
        "find {{input:q}} -name '*.png' | wc -l > {{output}}"
"""


def snakemake(folder, snakefile, *arguments, **environment):
    (folder / "Snakefile").write_text(SNAKEFILE.format(snakefile=snakefile))
    (folder / "mine.yaml").write_text(yaml.safe_dump({"usod": CONFIG}))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_another_project_runs_it_below_a_prefix(tmp_path):
    snakefile = repr(str(ROOT / "Snakefile"))
    snakemake(tmp_path, snakefile)
    assert (tmp_path / "count.txt").read_text().strip() == "10"
    made = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert made == {"Snakefile", "mine.yaml", "count.txt", "salient things"}, "something lies outside of the prefix"
    assert "Nothing to be done" in snakemake(tmp_path, snakefile, "--dry-run")
    report = snakemake(tmp_path, snakefile, "usod_report")
    assert (tmp_path / "salient things/results/report/report.html").stat().st_size > 10_000, report


def test_its_files_are_reached_where_a_hosted_repository_keeps_them(tmp_path):
    """Git is told to take a folder for github.com; nothing of the checkout under test is used but its package."""
    hosted = tmp_path / "hosted/someone/usod"
    files = subprocess.run(["git", "ls-files", "Snakefile", "workflow", "envs", "config.yaml"], cwd=ROOT, **PIPED)
    for name in files.stdout.splitlines():
        (hosted / name).parent.mkdir(parents=True, exist_ok=True)
        (hosted / name).write_bytes((ROOT / name).read_bytes())
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["tag", "v1"]):
        subprocess.run([*git, *words], cwd=hosted, check=True)
    instead = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'hosted').as_uri()}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    project = tmp_path / "project"
    project.mkdir()
    snakefile = 'github("someone/usod", path="workflow/Snakefile", tag="v1")'
    planned = snakemake(project, snakefile, "--dry-run", "count", "usod_all", "usod_deepusps_table3", **instead)
    assert "usod_fuse_labels" in planned and "output: salient things/results/report/report.html" in planned
    (project / "mine.yaml").unlink()


PIPED = {"stdout": subprocess.PIPE, "text": True, "check": True}
