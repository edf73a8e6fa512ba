"""What goes wrong around a run: a full disk, a folder that cannot be written, two runs at once."""

import os
import subprocess
import sys
import time

import pytest

from usod.data.mapstore import MapStore

from .conftest import ROOT, TINY, Project

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

CONFIG = {
    **TINY,
    "systems": ["deepusps"],
    "deepusps": {**TINY["deepusps"], "refine": {"iterations": 0, "epochs": 1, "batch_size": 5, "crf": None}},
}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 700 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def usod(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "usod", *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def errors_of(done):
    return [line for line in done.stderr.splitlines() if line.startswith("usod: error:")]


def test_a_store_that_the_disk_cannot_hold_is_one_line_and_leaves_the_old_one(small_disk, tmp_path):
    assert usod("data", "demo", "--out", tmp_path / "scenes", "--train", 40, "--test", 0, "--size", 64).returncode == 0
    index = tmp_path / "index.csv"
    assert usod("data", "index", tmp_path / "scenes", "--out", index).returncode == 0
    out = small_disk / "images.h5"
    for size, expected in ((16, 0), (256, 1)):
        done = usod("data", "images", "--index", index, "--size", size, "--out", out)
        assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = errors_of(done)
    assert "images.h5" in line and "the disk is full" in line
    assert [file.name for file in small_disk.iterdir()] == ["images.h5"], "no temporary file stays"
    again = usod("maps", "extract", "mc", "--index", index, "--out", tmp_path / "mc.h5")
    assert again.returncode == 0
    with MapStore(tmp_path / "mc.h5") as maps:
        assert len(maps) == 40


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    assert usod("data", "demo", "--out", tmp_path / "scenes", "--train", 2, "--test", 0, "--size", 64).returncode == 0
    (tmp_path / "results/demo").mkdir(parents=True)
    if os.getuid() == 0:  # to whom permissions are nothing
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path / "results/demo")]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no tmpfs can be mounted here")
    else:
        (tmp_path / "results/demo").chmod(0o555)
    try:
        index = usod("data", "index", tmp_path / "scenes", "--out", tmp_path / "results/demo/index.csv")
    finally:
        if os.getuid() == 0:
            subprocess.run(["umount", str(tmp_path / "results/demo")], check=True)
        else:
            (tmp_path / "results/demo").chmod(0o755)
    assert index.returncode == 1 and len(errors_of(index)) == 1
    assert "read-only" in index.stderr or "no permission" in index.stderr


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path):
    """Snakemake locks the folder: the second one says so and does nothing; the first one ends well."""
    project = Project(tmp_path)
    project.configure(CONFIG)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    with (tmp_path / "first.log").open("w") as log:
        environment = {**os.environ, "PATH": path}
        first = subprocess.Popen([*command, "maps"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while not list((tmp_path / ".snakemake/locks").glob("*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    second = project.snakemake("maps", "--rerun-incomplete")
    assert second.returncode != 0 and "LockException" in second.stdout
    assert first.wait(timeout=300) == 0
    assert project.snakemake("maps").returncode == 0
