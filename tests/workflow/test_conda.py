"""`snakemake --sdm conda`: the environment is made, and the jobs run in it. `pytest -m conda`, where there is conda."""

import shutil
import subprocess

import pytest

from .conftest import ROOT


@pytest.mark.conda
@pytest.mark.workflow
def test_jobs_run_in_an_environment_of_their_own(project):
    if shutil.which("conda") is None:
        pytest.skip("conda is not installed")
    done = project.snakemake("maps", "--sdm", "conda")
    assert done.returncode == 0, done.stdout
    assert "Activating conda environment" in done.stdout
    (made,) = (project.folder / ".snakemake/conda").glob("*_")
    assert (made / "bin/usod").exists() and list((project.folder / "results").rglob("*.h5"))


def test_a_snakefile_far_from_its_sources_is_one_line(tmp_path):
    """The script that fills the environment, alone: it installs nothing if it cannot find the lock file."""
    script = shutil.copy(ROOT / "envs/usod.post-deploy.sh", tmp_path)
    done = subprocess.run(["bash", script], cwd=tmp_path, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "USOD_SOURCE" in done.stderr
