"""Two systems beside each other, image by image."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.data.mapstore import write_images, write_maps
from usod.errors import UsageError, UsodError
from usod.reporting.image_by_image import extremes, read_both

ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0", "labels": "none"}
ERRORS = {"a": (0.9, 0.8), "b": (0.1, 0.7), "c": (0.6, 0.1), "d": (0.7, 0.95), "e": (0.05, 0.05), "f": (0.2, 0.25)}


def write_scores(path, column):
    frame = pd.DataFrame({"id": list(ERRORS), "mae": [errors[column] for errors in ERRORS.values()], "f_fixed": 0.5})
    frame.to_csv(path, index=False)
    return path


def test_extremes_are_shared_failures_and_the_largest_gains_each_image_once():
    errors = pd.DataFrame.from_dict(ERRORS, orient="index", columns=["first", "second"])
    assert extremes(errors, 2) == {"both": ["a", "d"], "first": ["b", "f"], "second": ["c"]}
    assert extremes(errors, 1) == {"both": ["a"], "first": ["b"], "second": ["c"]}


def test_an_image_may_be_called_na_and_a_score_be_missing(tmp_path):
    for name in ("one", "other"):
        (tmp_path / f"{name}.csv").write_text("id,mae\nNA,0.5\n007,nan\nnull,\nb,0.25\n")
    both = read_both(tmp_path / "one.csv", tmp_path / "other.csv", ["mae"])["mae"]
    assert both["first"].to_dict() == {"NA": 0.5, "b": 0.25}


def test_images_that_only_one_has_scored_are_left_out(tmp_path):
    one, other = (write_scores(tmp_path / f"{column}.csv", column) for column in (0, 1))
    lines = other.read_text().splitlines()
    other.write_text("\n".join([*lines[:3], "z,0.5,0.5"]) + "\n")
    both = read_both(one, other, ["mae"])["mae"]
    assert both.to_dict("index") == {"a": {"first": 0.9, "second": 0.8}, "b": {"first": 0.1, "second": 0.7}}
    other.write_text(f"{lines[0]}\nz,0.5,0.5\n")
    with pytest.raises(UsodError, match="no image in common"):
        read_both(one, other, ["mae"])
    with pytest.raises(UsageError, match=r"--measure iou: not in .*0\.csv"):
        read_both(one, other, ["iou"])


def test_failures_are_shown_with_their_masks_and_both_maps(tmp_path):
    ids, sizes = list(ERRORS), np.full((len(ERRORS), 2), 16)
    with write_images(tmp_path / "images.h5", ids, (16, 16), sizes, ATTRIBUTES) as rows:
        for key in ids:
            rows[key] = np.zeros((16, 16, 3), np.uint8)
    for name in ("ours", "theirs"):
        with write_maps(tmp_path / f"{name}.h5", ids, (16, 16), sizes, ATTRIBUTES) as rows:
            for key in ids:
                rows[key] = np.full((16, 16), 0.5)
    lines = ["id,mask,threshold,foreground_share"]
    for key in ids:
        Image.new("L", (16, 16), 255).save(tmp_path / f"{key}.png")
        lines.append(f"{key},{tmp_path / key}.png,0.5,1")
    (tmp_path / "masks.csv").write_text("\n".join(lines) + "\n")
    scores = [str(write_scores(tmp_path / f"{column}.csv", column)) for column in (0, 1)]
    call = [
        sys.executable,
        "-m",
        "usod",
        "report",
        "failures",
        *scores,
        "--images",
        "images.h5",
        "--masks",
        "masks.csv",
    ]
    call += ["--count", "2", "--out", "failures.svg", "--maps", "ours=ours.h5"]
    failed = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 2 and "--maps: given 1 times; give two" in failed.stderr
    subprocess.run([*call, "--maps", "theirs=theirs.h5"], cwd=tmp_path, check=True)
    text = (tmp_path / "failures.svg").read_text()
    headings = [text.index(f">{name}</text>") for name in ("image", "mask", "theirs", "ours")]
    assert headings == sorted(headings), "the supervised one first, as in the paper"
    assert [text.count(f">{row}</text>") for row in ("both fail", "better: ours", "better: theirs")] == [2, 2, 1]
