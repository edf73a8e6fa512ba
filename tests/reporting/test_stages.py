"""`usod report stages`."""

import json
import subprocess

import numpy as np
import pandas as pd

from usod.evaluation import MEASURES

from .. import forked


def stages(folder, *scores):
    command = [forked.command(), "report", "stages", "--out", "s.svg", "--csv", "s.csv"]
    for name in scores:
        command += ["--score", name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_each_score_belongs_to_the_stage_that_it_is_given_as(tmp_path):
    """Whatever the files are called."""
    for name, value in (("x", 0.5), ("y", 0.7), ("z", 0.6)):
        thresholds = np.arange(256) / 255
        curves = {"thresholds": thresholds, "precision": thresholds, "recall": 1 - thresholds, "f": thresholds}
        document = {"n": 3, **dict.fromkeys(MEASURES, value), "curves": {k: v.tolist() for k, v in curves.items()}}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    done = stages(tmp_path, "rbd/maps=x.json", "rbd/iteration 1=y.json", "mc/maps=z.json")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "s.csv")
    assert table[["method", "stage", "f"]].to_numpy().tolist() == [
        ["rbd", "maps", 0.5],
        ["rbd", "iteration 1", 0.7],
        ["mc", "maps", 0.6],
    ]
    at_half = table[["precision", "recall"]].to_numpy()
    np.testing.assert_allclose(at_half, [[128 / 255, 127 / 255]] * 3, atol=1e-6)
    assert "iteration 1</text>" in (tmp_path / "s.svg").read_text()
    for name in ("rbd", "rbd/maps/labels", "rbd/maps/network/x"):
        wrong = stages(tmp_path, f"{name}=x.json")
        assert wrong.returncode == 2 and f"--score {name}: write METHOD/STAGE=score.json" in wrong.stderr
    assert stages(tmp_path, "rbd/maps=x.json", "rbd/iter=y.json", "rbd/iter/network=z.json").returncode == 0
    assert pd.read_csv(tmp_path / "s.csv", keep_default_na=False)["of"].tolist() == ["", "", "network"]
    assert "rbd, network</text>" in (tmp_path / "s.svg").read_text()
