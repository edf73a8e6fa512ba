"""`usod status` on what runs leave behind: Snakemake's own words, heartbeats, histories."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from usod import heartbeat
from usod.heartbeat import PLACE, beating, tell
from usod.running.status import read_status

# As Snakemake 9.27 wrote it, shortened.
LOG = """Assuming unrestricted shared filesystem usage.

SNAKEMAKE
=========
  Date: 2026-11-26 16:46:17
  Host: {host}

Building DAG of jobs...
Job stats:
job              count
-------------  -------
extract_maps         3
refine_labels        2
total                5

Select jobs to execute...
Execute 2 jobs...
[Thu Nov 26 16:47:07 2026]
Finished jobid: 32 (Rule: extract_maps)
1 of 5 steps (20%) done
[Thu Nov 26 16:47:19 2026]
Error in rule refine_labels:
    message: None
    jobid: 4
    output: results/demo/labels.h5
    log: results/logs/refine.log (check log file(s) for error details)
    shell:
        usod deepusps refine
        (command exited with non-zero exit code)

"""
WORDS = ["deepusps", "refine", "--out-labels", "results/demo/deepusps/rbd/iter0/labels.h5", "--out-model", "m"]


@pytest.fixture
def place(tmp_path):
    """A folder with a run of this machine that left its lock."""
    for folder in ("log", "locks", "usod-jobs"):
        (tmp_path / ".snakemake" / folder).mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    (tmp_path / ".snakemake/log/2026-11-26T164617.439628.snakemake.log").write_text(LOG.format(host=platform.node()))
    (tmp_path / ".snakemake/log/2026-11-26T170000.000000.snakemake.log").write_text("Unlocking working directory.\n")
    (tmp_path / "results/logs").mkdir(parents=True)
    (tmp_path / "results/logs/refine.log").write_text("much\nusod: error: the disk is full\n")
    return tmp_path


def asked(folder, *options):
    words = [sys.executable, "-m", "usod", "status", str(folder), *options]
    return subprocess.run(words, capture_output=True, text=True)


def job(place, name="far-1", host="far", pid=1, beat=0.0, **facts):
    file = place / PLACE / f"{name}.json"
    file.write_text(json.dumps({"host": host, "pid": pid, "started": time.time() - 65, "words": WORDS, **facts}))
    os.utime(file, (time.time() - beat,) * 2)


def test_a_screen_says_what_runs_what_failed_and_what_is_left(place):
    facts = {"epoch": 3, "epochs": 12, "loss": 0.5, "speed": 7.25, "unit": "images", "left": 125.0}
    job(place, host=platform.node(), pid=os.getpid(), **facts)
    history = place / "results/demo/a2s/stage1/history.csv"
    history.parent.mkdir(parents=True)
    history.write_text("epoch,loss,seconds,images_per_s\n1,0.9,50,3\n2,0.25,40,4\n")
    done = asked(place, "--once")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "killed, 1 of 5 jobs done, begun 2026-11-26 16:46" in shown, "its Snakemake is not there"
    line = r"deepusps refine \(demo/deepusps/rbd/iter0\) 1:\d\d epoch 3/12 0.5000 7.2 images/s 2:05 \S+ ago"
    assert re.search(line, shown), shown
    assert "refine labels results/logs/refine.log usod: error: the disk is full" in shown
    assert "to do: extract maps 1/3, refine labels 0/2" in shown and "demo/a2s/stage1 2 0.2500 4.0 1:30" in shown
    told = json.loads(asked(place / "results", "--json").stdout)
    assert (told["state"], told["done"], told["total"]) == ("killed", 1, 5) and told["jobs"][0]["facts"] == facts


def test_jobs_of_other_machines_are_judged_by_their_heartbeat(place):
    (log,) = place.glob(".snakemake/log/*1646*")
    log.write_text(LOG.format(host="far"))
    os.utime(log, (0, 0))
    job(place, beat=20)
    job(place, name="far-2", pid=2, beat=3600)
    status = read_status(place)
    assert status.state == "running" and sorted(job.state for job in status.jobs) == ["running", "silent"]
    (place / PLACE / "far-1.json").unlink()
    assert read_status(place).state == "silent"


def test_without_a_lock_the_run_has_ended(place):
    (place / ".snakemake/locks/0.input.lock").unlink()
    assert read_status(place).state == "failed"
    (log,) = place.glob(".snakemake/log/*1646*")
    log.write_text(log.read_text().partition("[Thu Nov 26 16:47:19")[0])
    assert read_status(place).state == "stopped"
    log.write_text(log.read_text() + "5 of 5 steps (100%) done\n")
    assert read_status(place).state == "finished"


def test_a_killed_job_leaves_its_last_word_and_one_that_ends_nothing(place):
    """Until the next run begins."""
    code = "import time; from usod.heartbeat import *; k = beating(%r); k.__enter__(); tell(epoch=4)"
    code += "; print(1, flush=True); time.sleep(60)"
    environment = {**os.environ, "USOD_JOBS": str(place / PLACE)}
    child = subprocess.Popen([sys.executable, "-c", code % WORDS], env=environment, stdout=subprocess.PIPE)
    assert child.stdout.readline()
    (seen,) = read_status(place).jobs
    assert (seen.state, seen.pid, seen.facts) == ("running", child.pid, {"epoch": 4})
    child.send_signal(signal.SIGKILL)
    child.wait()
    (seen,) = read_status(place).jobs
    assert seen.state == "killed" and seen.facts == {"epoch": 4}
    (file,) = (place / PLACE).glob("*.json")
    heartbeat.forget(place / PLACE)
    assert file.exists(), "it may be at work: its heart has just beaten"
    os.utime(file, (0, 0))
    heartbeat.forget(place / PLACE)
    assert not file.exists()


def test_a_job_that_ends_takes_its_file_away_whatever_became_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("USOD_JOBS", str(tmp_path))
    with pytest.raises(KeyError), beating(WORDS):
        (file,) = tmp_path.iterdir()
        raise KeyError
    assert not file.exists()
    with beating(["status", "."]):
        assert not list(tmp_path.iterdir()), "it looks at jobs and is none"


def test_the_heart_beats_while_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("USOD_JOBS", str(tmp_path))
    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    with beating(WORDS):
        (file,) = tmp_path.iterdir()
        os.utime(file, (0, 0))
        deadline = time.time() + 20
        while file.stat().st_mtime == 0 and time.time() < deadline:
            time.sleep(0.01)
        assert time.time() - file.stat().st_mtime < 5


def test_where_no_run_was_is_one_line(tmp_path):
    done = asked(tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and str(tmp_path) in done.stderr


def test_nobody_is_told_without_a_workflow(tmp_path, monkeypatch):
    monkeypatch.delenv("USOD_JOBS", raising=False)
    monkeypatch.chdir(tmp_path)
    with beating(WORDS):
        tell(epoch=1)
    assert not list(Path().iterdir())
