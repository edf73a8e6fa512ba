import itertools
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from usod.devices import lease, pick_device, visible_devices
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
        assert set(first) | set(second) == {"0", "1"}
    with lease(2, ["0", "1"], tmp_path) as both:
        assert both == ["0", "1"]


def test_forty_jobs_on_four_devices(tmp_path):
    """Jobs for one and two devices, some killed: nobody meets another on a device, and none stays leased."""
    script = (
        "import sys, time, pathlib; from usod.devices import lease\n"
        "count, locks, marks = int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])\n"
        "with lease(count, ['0', '1', '2', '3'], locks, poll=0.02) as devices:\n"
        "    for d in devices: (marks / f'{d}.log').open('a').write(f'in {time.monotonic()}\\n')\n"
        "    time.sleep(float(sys.argv[4]))\n"
        "    for d in devices: (marks / f'{d}.log').open('a').write(f'out {time.monotonic()}\\n')\n"
    )
    rng = random.Random(0)
    jobs = []
    for i in range(40):
        hold = "30" if i % 8 == 0 else "0.05"  # every eighth would hold its devices for ever, and is killed
        command = [sys.executable, "-c", script, str(rng.choice([1, 2])), str(tmp_path / "locks"), str(tmp_path), hold]
        jobs.append(subprocess.Popen(command))
        if i % 8 == 7:
            time.sleep(0.6)
            jobs[i - 7].kill()
    codes = [job.wait(timeout=60) for job in jobs]
    assert codes.count(-signal.SIGKILL) == 5 and codes.count(0) == 35
    for device in "0123":
        lines = (tmp_path / f"{device}.log").read_text().split("\n")[:-1]
        words = [line.split()[0] for line in lines]
        # Between two entries there is always an exit, unless the holder was killed: at most five times in all.
        assert sum(a == b == "in" for a, b in itertools.pairwise(words)) <= 5
        assert "out out" not in " ".join(words)
    with lease(4, ["0", "1", "2", "3"], tmp_path / "locks") as devices:
        assert len(devices) == 4


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
    for code in (0, 3):
        command = [sys.executable, "-m", "usod", "devices", "run", "--count", "0", "--", "sh", "-c", f"exit {code}"]
        assert subprocess.run(command, check=False).returncode == code


def test_a_device_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UsodError, match="--device cuda"):
        pick_device("cuda")
    with pytest.raises(UsageError, match="--device tpu"):
        pick_device("tpu")
