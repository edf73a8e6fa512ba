import json

import pytest

from usod.errors import UsodError
from usod.evaluation.benchmark import MEASURES
from usod.evaluation.protocols import KEYS
from usod.reporting.ablation_table import ablation_table, write_ablation_table


def write_score(path, protocol, **values):
    """A score whose numbers under `protocol` alone are not 0.5."""
    under = {"own": dict.fromkeys(KEYS, 0.5), protocol: dict.fromkeys(KEYS, 0.5) | values}
    path.write_text(json.dumps(dict.fromkeys(MEASURES, 0.5) | {"n": 3, "protocols": under}))


@pytest.fixture
def files(tmp_path):
    write_score(tmp_path / "olr.json", "a2s", f=0.87, mae=0.06)
    (tmp_path / "history.csv").write_text("epoch,seconds\n1,1800\n2,900\n")
    return tmp_path


def test_ours_stands_beside_the_papers_and_the_rest_follows(files):
    rows, histories = {"OLR": {"mine": [files / "olr.json"]}}, {"OLR": [files / "history.csv"]}
    frame = ablation_table(rows, histories, "a2s_table8", {"mine": "ECSSD"}, protocol="a2s")
    ours = frame.iloc[0]
    assert (ours["row"], ours["dataset"], ours["f"], ours["mae"], ours["n"]) == ("OLR", "mine", 0.87, 0.06, 3)
    assert (ours["published_f"], ours["published_mae"], ours["published_hours"]) == (0.88, 0.06, 0.36)
    assert ours["training_hours"] == pytest.approx(0.75)
    assert list(zip(frame["row"][1:], frame["dataset"][1:], strict=True)) == [
        ("HMA", "ECSSD"),
        ("HMA", "MSRA-B"),
        ("OLR", "MSRA-B"),
    ]
    assert frame["f"][1:].isna().all()


def test_the_table_prints_percent_and_hours(files):
    rows, histories = {"OLR": {"mine": [files / "olr.json"]}}, {"OLR": [files / "history.csv"]}
    frame = ablation_table(rows, histories, "a2s_table8", protocol="a2s")
    for ending in ("csv", "md", "tex"):
        write_ablation_table(frame, files / f"t.{ending}", "A title", "a2s")
    assert "under the protocol a2s: the code of A2S" in (files / "t.md").read_text()
    assert "| OLR | mine | 87.00 | 6.00 | - | - | 0.75 | - |" in (files / "t.md").read_text()
    assert r"HMA & ECSSD & - & - & 84.30 & 7.80 & - & 5.33 \\" in (files / "t.tex").read_text()


def test_a_history_that_is_none_is_named(files):
    with pytest.raises(UsodError, match="no.csv"):
        ablation_table({"OLR": {"mine": [files / "olr.json"]}}, {"OLR": [files / "no.csv"]})


def test_scores_under_another_protocol_do_not_do(files):
    with pytest.raises(UsodError, match=r"olr.json: not scored under 'ldps'.*benchmark\.protocols"):
        ablation_table({"OLR": {"mine": [files / "olr.json"]}}, {}, protocol="ldps")


def test_seeds_are_one_row_with_mean_and_deviation(files):
    for seed, f in enumerate((0.8, 0.9, 0.85)):
        write_score(files / f"deepusps-seed{seed}.json", "deepusps", f=f)
    paths = [files / f"deepusps-seed{seed}.json" for seed in range(3)]
    frame = ablation_table({"DeepUSPS": {"ECSSD": paths}}, {}, "deepusps_table3", protocol="deepusps")
    ours = frame.iloc[0]
    assert (ours["seeds"], ours["f"], ours["f_std"]) == (3, pytest.approx(0.85), pytest.approx(0.05))
    assert (ours["published_f"], ours["published_f_std"]) == (0.8742, 0.0046)
    write_ablation_table(frame, files / "t.md", "T", "deepusps")
    assert "| DeepUSPS | ECSSD | 85.00 ± 5.00 | 50.00 ± 0.00 | 87.42 ± 0.46 |" in (files / "t.md").read_text()
