"""What the project says of itself in several places is the same everywhere."""

import ast
import hashlib
import os
import re
import subprocess
import sys
import time
import tomllib
from importlib import metadata
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


def test_what_the_package_imports_is_declared():
    """An environment of developers has more than what a user's has."""
    own = {"usod", "snakemake_logger_plugin_usod", *sys.stdlib_module_names}
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(line for name in ("crf", "export", "heif") for line in project["optional-dependencies"][name]),
    ]
    declared = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in asked}
    providers = metadata.packages_distributions()
    for module in sorted(imported - own):
        names = {name.lower().replace("_", "-") for name in providers.get(module, [module])}
        assert names & declared, f"{module} is imported, and not declared in pyproject.toml"


def test_the_examples_in_presets_name_files_that_are_there():
    for file in (ROOT / "workflow/presets").rglob("*.yaml"):
        for line in re.findall(r"^# +(snakemake .*)$", file.read_text(), re.MULTILINE):
            for name in re.findall(r"workflow/[\w/.-]+", line):
                assert (ROOT / name).exists(), f"{file}: {line}"
            targets = [w for w in line.split() if re.fullmatch(r"(?:deepusps|a2s|ldps|wss)_\w+", w)]
            assert all((ROOT / f"workflow/presets/ablations/{t}.yaml").exists() or t == "a2s_table1" for t in targets)
