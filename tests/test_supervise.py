"""What `usod run` shows of a Snakemake, here a script that tells events as the logger plugin does."""

import json
import sys

import pytest

from usod.running.display import RunDisplay, last_line
from usod.running.supervise import EVENTS, supervise

FAKE = """
import json, os, sys
with open(int(os.environ["{events}"]), "w") as told:
    for line in json.loads(sys.argv[1]):
        print(json.dumps(line), file=told, flush=True)
"""


def job(event: str, number: int, rule: str = "refine_labels", **more) -> dict:
    return {
        "event": event,
        "job": number,
        "rule": rule,
        "wildcards": ["photos", "", "rbd/"],
        "logs": ["its.log"],
    } | more


def said(text: str, level: str = "INFO") -> dict:
    return {"event": None, "text": text, "level": level}


@pytest.fixture
def run(tmp_path):
    def of(*events: dict):
        command = [sys.executable, "-c", FAKE.format(events=EVENTS), json.dumps(events)]
        return supervise(command, {}, tmp_path, RunDisplay())

    return of


def test_a_failed_job_is_told_with_its_log_and_is_not_counted_as_done(run, tmp_path, capfd):
    found = run(
        {"event": "run_info", "total": 2, "text": " job count \n"},
        {"event": "job_started", "jobs": [1, 2]},
        job("job_info", 1),
        job("job_info", 2, "fuse_labels"),
        job("job_error", 1),
        job("job_finished", 2),
    )
    assert (found.plan, found.planned, found.started) == ("job count", 2, 2)
    assert found.failed == {"refine labels (photos rbd)"}
    failed, done = capfd.readouterr().err.splitlines()
    assert failed == f"failed: refine labels (photos rbd), log: {tmp_path}/its.log"
    assert done.startswith("1/2 fuse labels (photos rbd), 0:0")


def test_of_a_dry_run_the_reasons_are_kept_and_what_snakemake_always_says_is_not(run, capfd):
    found = run(
        {"event": "run_info", "total": 1, "text": "one"},
        job("job_info", 1, reason="its file is missing"),
        said("Building DAG of jobs..."),
        said("Nobody would run this"),
        said("a word of warning", "WARNING"),
    )
    assert found.reasons == ["refine labels (photos rbd): its file is missing"]
    assert found.said == ["Nobody would run this"]
    assert capfd.readouterr().err == "a word of warning\n"


def test_the_last_line_of_a_log_is_what_its_bar_shows_now(tmp_path):
    log = tmp_path / "its.log"
    assert last_line(log) == ""
    log.write_text("epoch 1/9\nimages:  10%\rimages:  20%\r\n\n")
    assert last_line(log) == "images:  20%"
    log.write_text("one long line")
    assert last_line(log, size=4) == "line"
