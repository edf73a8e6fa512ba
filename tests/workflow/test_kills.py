"""Snakemake, its jobs, or both are killed again and again; the next whole run gives what it gives without kills."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from usod.data.mapstore import MapStore

from .conftest import ROOT, TINY, Project

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("kills")]

KILLS = 20
CONFIG = {
    **TINY,
    "systems": ["deepusps"],
    "scenes": {"train": 12, "test": 2, "size": 64, "seed": 0},
    "maps": {"chunks": 1},
    "deepusps": {
        "refine": {"iterations": 0, "epochs": 6, "batch_size": 4, "lr": 0.002, "crf": {"bilateral_sxy": 10}},
        "fuse": {"epochs": 6, "batch_size": 4, "lr": 0.002},
    },
}


def start(project):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--rerun-incomplete", "deepusps"]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    return subprocess.Popen(
        command,
        cwd=project.folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def descendants(pid):
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in children] + [found for child in children for found in descendants(int(child))]


def end(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_nothing_is_lost_or_changed_by_kills(tmp_path):
    seed = random.SystemRandom().randrange(2**32)  # other moments in every run
    print("seed", seed)
    rng = random.Random(seed)
    projects = {}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        projects[name] = Project(tmp_path / name)
        projects[name].configure(CONFIG)
    begun = time.monotonic()
    assert start(projects["whole"]).wait() == 0
    duration = time.monotonic() - begun

    kills, finished = 0, 0
    while kills < KILLS:
        process = start(projects["killed"])
        try:
            process.wait(timeout=rng.uniform(0.05, 0.35) * duration)
            finished += 1
            # All done before it could be killed: the last trainings are made again.
            for file in (tmp_path / "killed/results/demo/deepusps").rglob("labels.h5"):
                file.unlink()
        except subprocess.TimeoutExpired:
            jobs = descendants(process.pid)
            victims = {"snakemake": [process.pid], "job": jobs[-1:], "both": [process.pid, *jobs]}
            end(victims[rng.choice(list(victims))])
            kills += 1
            time.sleep(rng.uniform(0, 1))
            end([process.pid, *descendants(process.pid)])
            process.wait()
        projects["killed"].snakemake("--unlock")
    assert start(projects["killed"]).wait() == 0

    for file in sorted((tmp_path / "whole/results").rglob("*.*")):
        other = tmp_path / "killed" / file.relative_to(tmp_path / "whole")
        if file.suffix == ".h5" and "work" not in file.parts and file.name != "images.h5":
            with MapStore(file) as one, MapStore(other) as two:
                assert one.ids == two.ids, other
                assert all(np.array_equal(one.raw(key), two.raw(key)) for key in one.ids), other
        elif file.suffix == ".safetensors":
            one, two = load_file(file), load_file(other)
            assert one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one), other
    left = [file.name for file in (tmp_path / "killed/results").rglob("*") if file.name.endswith((".tmp", ".partial"))]
    assert left == [], "what killed writers leave is removed by the next"
