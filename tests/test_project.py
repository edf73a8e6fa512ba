"""What the project says of itself in several places is the same everywhere."""

import hashlib
import re
import tomllib
from pathlib import Path

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
