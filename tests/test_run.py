"""`usod run`: the call, what it shows, and that a run that was stopped or killed goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from PIL import Image

from usod.commands.run import cleaned
from usod.errors import UsodError
from usod.running.bundle import presets, workflow_folder
from usod.running.lock import check_abandoned, mark, unmark

TINY = {
    "size": 32,
    "methods": {"mc": {}},
    "network": {"name": "light", "weights": "none", "frozen": False},
    "systems": ["deepusps"],
    "deepusps": {"labels": None},
}


def heed_ctrl_c():
    """In the background of a script, where a test may run, it is switched off."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder, *arguments):
    command = [sys.executable, "-m", "usod", "run", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_ctrl_c
    )


def usod_run(folder, *arguments, expect=0):
    process = start(folder, *arguments)
    output, _ = process.communicate()
    assert process.returncode == expect, output
    return output


@pytest.fixture
def place(tmp_path):
    """A folder to stand in: photographs in `my photos`, settings in `tiny.yaml`, these and the data in `whole.yaml`."""
    (tmp_path / "my photos").mkdir()
    for number in range(4):
        image = Image.effect_noise((40, 32), 60).convert("RGB")
        image.paste((220, 40, 50 * number), (12, 8, 28, 24))
        image.save(tmp_path / f"my photos/{number}.jpg")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    data = {
        "datasets": {"mine": {"root": str(tmp_path / "my photos"), "has_masks": False}},
        "train": "mine",
        "test": [],
    }
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(TINY | data))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "usod run FOLDER"),
        ([""], "PHOTOS is empty"),
        (["nowhere"], "nowhere ({}/nowhere): no such folder"),
        (["tiny.yaml"], "tiny.yaml ({}/tiny.yaml): is a file; give the folder"),
        (["my photos", "--preset", "nosuch"], "--preset nosuch: neither a file ({}/nosuch) nor one of demo, a2s"),
        (["my photos", "--configfile", "no.yaml"], "--configfile no.yaml: no such file ({}/no.yaml)"),
        (["my photos", "--config", "size"], "--config size: write KEY=VALUE"),
        (["my photos", "--config", "images=x"], "--config images=x: say usod run FOLDER"),
        (["my photos", "--gpus", "99"], "--gpus 99: this machine has "),
        (["my photos", "--cores", "many"], "--cores many: give a number, or all"),
        (["my photos", "--out", "tiny.yaml"], "--out tiny.yaml: no folder can be made there"),
        (["my photos", "--", "--config", "size=3"], "-- --config: usod run sets it; use --config KEY=VALUE before"),
        (["my photos", "--", "-d", "x"], "use --out DIR"),
        (["my photos", "--gpus", "2", "--", "--resources=gpu=1"], "give one of them"),
    ],
)
def test_a_wrong_call_is_one_line_before_anything_is_started(place, arguments, words):
    output = usod_run(place, *arguments, expect=2)
    assert words.format(place) in output and output.count("\n") == 1
    assert not (place / ".snakemake").exists()


def test_an_empty_folder_is_one_line_before_anything_is_started(place):
    (place / "none").mkdir()
    output = usod_run(place, "none", expect=1)
    assert "no images found" in output and output.count("\n") == 1 and not (place / ".snakemake").exists()


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "sise=3"], "sise: unknown key"),
        (["--target", "nosuch"], "No rule to produce nosuch"),
        (["--", "--nosuch"], "unrecognized arguments: --nosuch"),
    ],
)
def test_what_snakemake_refuses_is_one_line(place, arguments, words):
    output = usod_run(place, "my photos", "--configfile", "tiny.yaml", *arguments, expect=1)
    assert words in output and output.count("\n") == 1 and "Traceback" not in output and ".smk" not in output


@pytest.mark.workflow
@pytest.mark.parametrize("linked", [False, True])
def test_a_dry_run_says_what_would_run_and_runs_nothing(place, linked):
    """On a folder of an odd name: Snakemake reads a value of --config as YAML, and takes quotes off its ends.

    And with results behind a link, whose `..` is not the folder that it lies in.
    """
    odd = "a: b #c 'd'"
    (place / "my photos").rename(place / odd)
    if linked:
        (place / "elsewhere/deep").mkdir(parents=True)
        (place / "new").symlink_to("elsewhere/deep")
    output = usod_run(place, odd, "--configfile", "tiny.yaml", "--out", "new/place", "-n")
    jobs = dict(line.split() for line in output.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit())
    assert {"index_images", "extract_maps", "refine_labels", "fuse_labels", "export_masks"} < set(jobs)
    assert not (place / "new/place/results").exists() and not (place / "results").exists()


@pytest.mark.workflow
def test_a_run_shows_its_jobs_and_where_a_broken_photograph_is(place):
    call = ("--configfile", "whole.yaml", "--target", "results/mine/images.h5", "--out", "out")
    whole = (place / "my photos/0.jpg").read_bytes()
    (place / "my photos/0.jpg").write_bytes(whole[:500])
    output = usod_run(place, *call, expect=1)
    (line,) = [line for line in output.splitlines() if "my photos/0.jpg" in line]
    assert "usod: error:" in line
    (last,) = [line for line in output.splitlines() if line.startswith("usod: error: 1 of ")]
    log = place / last.partition("everything that Snakemake said: ")[2].partition(". Mend")[0]
    assert "index_images" in log.read_text()

    (place / "my photos/0.jpg").write_bytes(whole)
    output = usod_run(place, *call)
    lines = [line for line in output.splitlines() if "done; now" not in line]  # said when a job takes long
    assert lines[0].startswith("1/2 index images (mine), ") and lines[1].startswith("2/2 decode images (mine), ")
    assert lines[2].startswith("2 jobs in ")
    assert "rule " not in output and "wildcards" not in output

    assert "nothing to do" in usod_run(place, *call)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.workflow
@pytest.mark.faults
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_same_again_goes_on_after(place, ending):
    """Ctrl-C and SIGTERM take the jobs along and leave no lock; after a kill -9 of all of it the lock is taken away."""
    call = ("--configfile", "whole.yaml", "--target", "results/mine/images.h5")
    process = start(place, *call)
    wait_for(lambda: (place / "results").exists() or process.poll() is not None)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    if ending == signal.SIGKILL:
        for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            member.kill()
        process.communicate()
        assert list((place / ".snakemake/locks").iterdir())
    else:
        process.send_signal(ending)
        output, _ = process.communicate()
        assert process.returncode == (130 if ending == signal.SIGINT else 143)
        assert "Traceback" not in output and "failed" not in output
        assert output.count("usod: error: stopped; say the same again") == (ending == signal.SIGINT)
        assert not list(place.glob(".snakemake/locks/*")) and not (place / "results/mine/images.h5").exists()
    psutil.wait_procs(family, timeout=10)
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    output = usod_run(place, *call)
    assert ("was killed; going on" in output) == (ending == signal.SIGKILL)
    assert (place / "results/mine/images.h5").exists()


def test_a_lock_is_taken_away_only_when_nobody_can_hold_it(tmp_path):
    assert mark(tmp_path) is None
    here = mark(tmp_path)
    check_abandoned(tmp_path, here)
    for machine in (None, "another-machine"):
        with pytest.raises(UsodError, match="perhaps on another machine.*--unlock"):
            check_abandoned(tmp_path, machine)
    for name in ("snakemake", "2026.snakemake.log"):
        (tmp_path / name).write_text("import time; time.sleep(60)")
    reader = subprocess.Popen([sys.executable, "2026.snakemake.log"], cwd=tmp_path)  # any program with such a word
    check_abandoned(tmp_path, here)
    other = subprocess.Popen([sys.executable, "snakemake"], cwd=tmp_path)
    try:
        with pytest.raises(UsodError, match=f"at work there, process {other.pid}"):
            check_abandoned(tmp_path, here)
    finally:
        for process in (reader, other):
            process.kill()
            process.wait()
    check_abandoned(tmp_path, here)
    unmark(tmp_path)
    assert mark(tmp_path) is None


def test_the_front_door_is_the_first_of_the_list():
    shown = subprocess.run(
        [sys.executable, "-m", "usod", "--help"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    verbs = re.findall(r"^\W*([a-z][a-z0-9-]*)  ", shown.partition("Commands")[2], flags=re.MULTILINE)
    assert verbs[0] == "run" and "predict" in verbs and "maps" in verbs


def test_the_workflow_is_that_of_the_checkout():
    assert workflow_folder() == Path(__file__).parents[1]
    named = presets()
    assert named["demo"] == workflow_folder() / "config.yaml" and named["smoke"].is_file() and "a2s_table1" not in named


def test_an_error_of_snakemake_is_told_without_its_place():
    text = (
        'WorkflowError in file "/a/common.smk", line 44:\nsize: too small\n  File "/a/common.smk", line 44, in <module>'
    )
    assert cleaned(text) == "size: too small"
    assert cleaned("Error: no such thing") == "Error: no such thing"


def test_the_logger_says_where_it_works(tmp_path):
    (tmp_path / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
    environment = {name: value for name, value in os.environ.items() if name != "USOD_EVENTS"}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "usod"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "`usod run`" in done.stderr
