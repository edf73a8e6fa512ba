"""Results behind a storage provider: the jobs' files come from there and go there."""

import shutil

import pytest

from .conftest import TINY

pytestmark = [pytest.mark.workflow, pytest.mark.faults, pytest.mark.xdist_group("storage")]


def test_results_lie_behind_a_storage_prefix(project, tmp_path):
    pytest.importorskip("snakemake_storage_plugin_fs", reason="snakemake-storage-plugin-fs is not installed")
    if shutil.which("rsync") is None:
        pytest.skip("the storage plugin needs rsync")
    project.configure({**TINY, "methods": {"rbd": {}}, "systems": ["deepusps"], "benchmark": {"stages": False}})
    bucket = tmp_path / "bucket"
    storage = ["--default-storage-provider", "fs", "--default-storage-prefix", str(bucket)]
    done = project.snakemake(*storage)
    assert done.returncode == 0, done.stdout
    assert len(list((bucket / "results/masks/demo/deepusps-seed0").rglob("*.png"))) == 10
    assert (bucket / "results/report/report.html").stat().st_size > 10_000
    assert not list((project.folder / "results").rglob("*.h5")), "a store lies outside of the storage"
    again = project.snakemake(*storage, "--dry-run")
    assert "Nothing to be done" in again.stdout, again.stdout
