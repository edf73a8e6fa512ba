from pathlib import Path

import numpy as np
import pytest

from usod.errors import UsodError
from usod.reporting.costs import cost_table, step_of, write_costs
from usod.systems.descriptions import SYSTEMS


@pytest.mark.parametrize(
    ("record", "step"),
    [
        ("data/scenes", "data"),
        ("demo/index", "data"),
        ("demo/maps/rbd.3-of-4", "maps: rbd"),
        ("demo/deepusps/rbd/iter2", "deepusps: stage 2"),
        ("demo/deepusps/fusion/seed0", "deepusps: fusion"),
        ("demo/deepusps/variants/deepusps_table3.x/rbd/iter2", "ablations"),
        ("demo/oracle/masks", "oracles"),
        ("demo/a2s/stage1", "a2s: stage1"),
        ("demo/ldps_single/rbd", "ldps: rbd"),
        ("demo/masks", "data"),
        ("demo/masks/a2s-stage2", "report"),
        ("demo/theirs/step.predict", "theirs: step"),
        ("predictions/demo/rbd-iter0", "prediction"),
        ("scores/demo/rbd-iter0", "scoring"),
        ("report/curves-demo", "report"),
    ],
)
def test_each_record_belongs_to_a_step(record, step):
    assert step_of(Path(f"{record}.tsv"), {name: system.step for name, system in SYSTEMS.items()}) == step


def test_costs_are_summed_and_memory_is_the_largest(tmp_path):
    folder = tmp_path / "timings/d/deepusps"
    for method, seconds, memory in (("rbd", 3600.0, 1024), ("mc", 125.0, 2048)):
        (folder / method).mkdir(parents=True)
        record = f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:01:00\t{memory}\t30\n"
        (folder / method / "iter0.tsv").write_text(record)
    history = tmp_path / "d/deepusps/mc/iter0"
    history.mkdir(parents=True)
    (history / "history.csv").write_text("epoch,device_memory_mb\n1,512\n2,3072\n")
    (tmp_path / "timings/d/index.tsv").write_text("s\th:m:s\tmax_rss\tcpu_time\n0.1\t0:00:00\t-\t0\n")
    table = cost_table(tmp_path, {"deepusps": SYSTEMS["deepusps"].step}).set_index("step")
    assert list(table.index) == ["data", "deepusps: stage 0"]
    stage = table.loc["deepusps: stage 0"]
    assert list(stage) == [2, 3725, 60, 2048, 3072] and np.isnan(table.loc["data", "memory_mb"])
    write_costs(table.reset_index(), tmp_path / "c.md")
    assert "| deepusps: stage 0 | 2 | 1:02:05 | 0:01:00 | 2.00 | 3.00 |" in (tmp_path / "c.md").read_text()
    with pytest.raises(UsodError, match="no records of jobs"):
        cost_table(tmp_path / "d")
