import os
import random
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from usod.devices import (
    AsMemoryAllows,
    lease,
    physical_keys,
    pick_device,
    seed_everything,
    start_device,
    visible_devices,
)
from usod.errors import UsageError, UsodError


def test_the_pool_is_the_callers(monkeypatch):
    for value, expected in (("2,0", ["2", "0"]), ("", []), ("-1", []), ("GPU-ab", ["GPU-ab"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert visible_devices() == expected


def test_more_than_there_are_is_one_line(tmp_path):
    with pytest.raises(UsodError, match="3 GPUs asked for, but only 2"), lease(3, ["0", "1"], tmp_path):
        pass


def test_a_device_has_one_holder(tmp_path):
    with lease(1, ["0", "1"], tmp_path) as first, lease(1, ["0", "1"], tmp_path) as second:
        assert set(first.devices) | set(second.devices) == {"0", "1"}
    with lease(2, ["0", "1"], tmp_path) as both:
        assert both.devices == ["0", "1"]


JOB = """
import fcntl, os, pathlib, sys, time
marks = pathlib.Path(sys.argv[1])
devices = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
files = [(marks / f"{device}.use").open("w") for device in devices]
try:
    for file in files:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    (marks / f"met-{os.getpid()}").touch()  # another job is on this device
time.sleep(float(sys.argv[2]))
"""


def test_forty_jobs_on_four_devices(tmp_path):
    """Jobs for one and two devices; leases and jobs are killed at random: nobody meets another, none stays leased."""
    rng = random.Random()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    environment |= {"CUDA_VISIBLE_DEVICES": "a,b,c,d", "TMPDIR": str(tmp_path)}
    usod = [sys.executable, "-m", "usod", "devices", "run", "--quiet", "--count"]
    jobs = []
    for i in range(40):
        hold = "60" if i % 5 == 0 else "0.05"  # every fifth would hold its devices for long, and is killed
        command = [*usod, str(rng.choice([1, 2])), "--", sys.executable, "-c", JOB, str(tmp_path), hold]
        jobs.append(subprocess.Popen(command, env=environment))
        if i % 5 == 4:
            time.sleep(rng.uniform(0.5, 2))
            holder = jobs[i - 4]
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            victim = int(children[0]) if children and i % 2 else holder.pid
            os.kill(victim, signal.SIGKILL)
    codes = [job.wait(timeout=120) for job in jobs]
    assert codes.count(0) == 32 and len([code for code in codes if code in (-signal.SIGKILL, 128 + 9)]) == 8
    assert list(tmp_path.glob("met-*")) == []
    with lease(4, ["a", "b", "c", "d"], tmp_path / "usod-devices", poll=0.05) as held:
        assert held.devices == ["a", "b", "c", "d"]


def test_the_command_dies_with_its_lease(tmp_path):
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    command = [sys.executable, "-m", "usod", "devices", "run", "--count", "0", "--", sys.executable, "-c", script]
    holder = subprocess.Popen(command)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.02)
    holder.kill()
    holder.wait()
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{(tmp_path / 'pid').read_text()}/cmdline") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.monotonic() < deadline


def test_a_device_is_one_by_number_and_by_uuid(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: X (UUID: GPU-aa11)'\necho 'GPU 1: X (UUID: GPU-bb22)'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_devices() == ["0", "1"]
    assert physical_keys(["1", "GPU-aa11", "GPU-bb", "MIG-1", "7"]) == {
        "1": "GPU-bb22",
        "GPU-aa11": "GPU-aa11",
        "GPU-bb": "GPU-bb22",
        "MIG-1": "MIG-1",
        "7": "7",
    }
    with lease(1, ["0"], tmp_path / "locks"), lease(1, ["GPU-aa11", "GPU-bb"], tmp_path / "locks") as other:
        assert other.devices == ["GPU-bb"]


def run(*arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CUDA", "SLURM"))}
    command = [sys.executable, "-m", "usod", "devices", "run", *arguments]
    show = [sys.executable, "-c", "import os; print(repr(os.environ.get('CUDA_VISIBLE_DEVICES')))"]
    return subprocess.run([*command, "--", *show], env=clean | environment, capture_output=True, text=True, check=False)


def test_the_command_sees_its_devices_and_no_others():
    assert run("--count", "1", CUDA_VISIBLE_DEVICES="7").stdout.strip() == "'7'"
    assert run("--count", "0", CUDA_VISIBLE_DEVICES="7").stdout.strip() == "''"
    assert run("--count", "1", CUDA_VISIBLE_DEVICES="3", SLURM_JOB_ID="1").stdout.strip() == "'3'"
    # An allocation of several devices is shared out among the commands inside it.
    assert run("--count", "1", CUDA_VISIBLE_DEVICES="3,5", SLURM_JOB_ID="1").stdout.strip() in ("'3'", "'5'")


def test_exit_codes_are_passed_on():
    for end, code in (("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 128 + 9)):  # as shells tell a signal
        command = [sys.executable, "-m", "usod", "devices", "run", "--count", "0", "--", "sh", "-c", end]
        assert subprocess.run(command, check=False).returncode == code


def test_a_seed_decides_the_numbers_of_every_library():
    def drawn(seed: int) -> tuple[float, float, float]:
        seed_everything(seed)
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    first, again, other = drawn(2**32 + 5), drawn(2**32 + 5), drawn(2**32 + 6)
    assert first == again and all(a != b for a, b in zip(first, other, strict=True))


def test_no_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr("usod.devices.cpu_cores", lambda: 3)
    before = torch.get_num_threads()
    try:
        for asked, threads in ((2, 2), (8, 3), (0, 3)):  # 0: as it was
            start_device("cpu", asked)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_work_that_does_not_fit_is_halved_until_it_does(capsys):
    seen = []

    def work(part):
        if part.stop - part.start > 2:
            raise torch.OutOfMemoryError
        seen.append((part.start, part.stop))
        return list(range(part.start, part.stop))

    as_memory_allows = AsMemoryAllows()
    assert [n for part in as_memory_allows(work, 7) for n in part] == list(range(7))
    assert seen == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert "going on with 2 at a time" in capsys.readouterr().err
    assert [n for part in as_memory_allows(work, 3) for n in part] == list(range(3))
    assert seen[4:] == [(0, 2), (2, 3)] and not capsys.readouterr().err  # it knows what fits

    def hopeless(part):
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        list(AsMemoryAllows()(hopeless, 4))


def test_what_failed_work_had_in_memory_is_free_before_it_is_tried_again():
    held = []

    class Large:
        pass

    def work(part):
        assert not held or held[0]() is None
        large = Large()
        held.append(weakref.ref(large))
        if part.stop - part.start > 1:
            raise torch.OutOfMemoryError

    list(AsMemoryAllows()(work, 2))
    assert len(held) == 3


def test_determinism_is_asked_for_by_the_environment(monkeypatch):
    try:
        start_device("cpu", 0)
        assert not torch.are_deterministic_algorithms_enabled()
        monkeypatch.setenv("USOD_DETERMINISTIC", "1")
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        start_device("cpu", 0)
        assert torch.are_deterministic_algorithms_enabled() and os.environ["CUBLAS_WORKSPACE_CONFIG"]
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_device_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UsodError, match="--device cuda"):
        pick_device("cuda")
    with pytest.raises(UsageError, match="--device tpu"):
        pick_device("tpu")
