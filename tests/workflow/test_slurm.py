"""The workflow on a real Slurm: devices, a cancelled job, a job that runs into its time limit."""

import itertools
import os
import shutil
import subprocess
import sys
import time

import pytest

from . import slurm
from .conftest import ROOT, TINY, Project

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

# Six trainings could run at once; two of them will be in trouble.
CONFIG = {
    **TINY,
    "systems": ["deepusps"],
    "scenes": {"train": 6, "test": 2, "size": 64, "seed": 0},
    "maps": {"chunks": 1},
    "methods": {name: {"function": "mc"} for name in ("calm1", "calm2", "calm3", "calm4", "cancelled", "late")},
    "deepusps": {
        "refine": {"iterations": 0, "epochs": 3, "batch_size": 4, "lr": 0.002, "crf": None},
        "fuse": {"epochs": 1, "batch_size": 4, "lr": 0.002},
    },
}

# Stands before the real usod: writes down which training had which devices and when, and stops the two in trouble after
# their first epochs, once, so that scancel and the time limit find them at work.
WRAPPER = """\
#!{python}
import os, pathlib, signal, subprocess, sys, time
arguments, log = sys.argv[1:], pathlib.Path({log!r})
command = [{usod!r}, *arguments]
if arguments[:2] not in (["deepusps", "refine"], ["deepusps", "fuse"]):
    os.execv(command[0], command)
name = next((m for m in ("cancelled", "late") if f"/maps/{{m}}.h5" in " ".join(arguments)), "calm")
facts = [name, os.environ["SLURM_JOB_ID"], os.environ.get("CUDA_VISIBLE_DEVICES", "none")]
start, stopped = time.time(), log / f"{{name}}.stopped"
process = subprocess.Popen(command)
if name != "calm" and not stopped.exists():
    model = pathlib.Path(arguments[arguments.index("--out-model" if "--out-model" in arguments else "--out") + 1])
    state = model.parent / ".resume" / model.stem / "state.pt"
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    stopped.write_text(facts[1])
else:
    time.sleep(4)  # long enough for the others to be there too
code = process.wait()
with (log / "jobs").open("a") as file:
    file.write(" ".join([*facts, str(start), str(time.time())]) + "\\n")
sys.exit(code)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := slurm.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    try:
        try:
            slurm.start(folder)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            pytest.skip(f"Slurm does not start here: {error}")
        yield folder
    finally:
        slurm.stop(folder)


def test_gpu_jobs_share_four_devices_and_survive_scancel_and_the_time_limit(cluster, tmp_path):
    for name in ("project", "bin"):
        (tmp_path / name).mkdir()
    project = Project(tmp_path / "project")
    wrapper, usod = tmp_path / "bin/usod", shutil.which("usod", path=os.path.dirname(sys.executable))
    wrapper.write_text(WRAPPER.format(python=sys.executable, log=str(tmp_path), usod=usod))
    wrapper.chmod(0o755)
    project.configure(CONFIG)
    # What comes before the trainings is done at once: Slurm takes seconds for each small job.
    before = project.snakemake("maps", "results/demo/images.h5")
    assert before.returncode == 0, before.stdout
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "deepusps"]
    command += ["--workflow-profile", str(ROOT / "workflow/profiles/slurm"), "--latency-wait", "5"]
    # No accounting here, and no patience.
    command += ["--slurm-no-account", "--slurm-status-command", "squeue", "--seconds-between-status-checks", "2"]
    command += ["--slurm-init-seconds-before-status-checks", "2"]
    # The GPUs are the rules' own wish, on a cluster as here, where this machine has none.
    command += ["--set-resources", "refine_labels:runtime=1"]
    path = os.pathsep.join([str(tmp_path / "bin"), os.path.dirname(sys.executable), os.environ["PATH"]])
    with (tmp_path / "snakemake.log").open("w") as log:
        run = subprocess.Popen(
            command, cwd=project.folder, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path}
        )
        try:
            marked = tmp_path / "cancelled.stopped"
            while not marked.exists() or not marked.read_text():
                assert run.poll() is None, (tmp_path / "snakemake.log").read_text()
                time.sleep(0.2)
            subprocess.run(["scancel", marked.read_text()], check=True)
            code = run.wait(timeout=500)
        finally:
            run.kill()
    assert code == 0, (tmp_path / "snakemake.log").read_text()

    jobs = [line.split() for line in (tmp_path / "jobs").read_text().splitlines()]
    assert len(jobs) == 7, "four calm ones, the second attempts of two, the fusion"
    spans = [(set(devices.split(",")), float(start), float(end)) for _, _, devices, start, end in jobs]
    assert all(len(devices) == 1 and devices <= set("0123") for devices, _, _ in spans)
    together = [(a, b) for a, b in itertools.combinations(spans, 2) if a[1] < b[2] and b[1] < a[2]]
    assert together, "some trainings ran side by side"
    assert all(not a[0] & b[0] for a, b in together), "each on a device of its own"
    for name in ("cancelled", "late"):
        text = (project.folder / f"results/logs/demo/deepusps/{name}/iter0.log").read_text()
        assert "going on after epoch" in text, "it starts after the epochs that the killed job had finished"


def test_what_a_killed_test_left_is_no_slurm_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(slurm, "CONFIG", tmp_path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    for text, kept in (
        ("ClusterName=usod\nStateSaveLocation=/a\n", True),  # somebody's own
        (slurm.SETTINGS.format(host="a", folder="/a", gpus=4, process=os.getpid()), True),
        (slurm.SETTINGS.format(host="a", folder="/a", gpus=4, process=ended.pid), False),
    ):
        (tmp_path / "slurm.conf").write_text(text)
        slurm.remove_leftovers()
        assert (tmp_path / "slurm.conf").exists() == kept
