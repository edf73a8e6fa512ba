"""Scores of images and data sets: agreement with PySODMetrics, averaging, files, and the errors of bad input."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.cli import app
from usod.data.listed import read_rows
from usod.errors import UsageError, UsodError
from usod.evaluation import MEASURES, Benchmark, evaluate, score

KEYS = [
    "n", "mae", "precision", "recall", "f_fixed", "f_adaptive", "f_mean", "f_max", "f_weighted", "s_measure",
    "e_mean", "e_max", "e_adaptive",
]  # fmt: skip


class Maps(dict):
    """Maps in memory behind the reader's interface."""

    path = Path("maps.h5")

    @property
    def ids(self):
        return list(self)


def make_images(count, rng, shape=(24, 31)):
    """uint8 predictions that resemble their uint8 masks, one mask empty and one full."""
    masks = [255 * (rng.random(shape) > 0.6).astype(np.uint8) for _ in range(count)]
    masks[1][:], masks[2][:] = 0, 255
    noise = [rng.normal(0, 60, shape) for _ in range(count)]
    return {
        f"im{i}": (np.clip(g + e, 5, 240).astype(np.uint8), g)
        for i, (g, e) in enumerate(zip(masks, noise, strict=True))
    }


def oracle(images, normalize):
    psm = pytest.importorskip("py_sod_metrics", reason="the oracle, pysodmetrics==1.6.2, is not installed")
    settings = {"with_dynamic": True, "with_adaptive": True}
    f = psm.FmeasureV2(
        {
            "f": psm.FmeasureHandler(**settings, with_binary=True, beta=0.3),
            "precision": psm.PrecisionHandler(**settings),
            "recall": psm.RecallHandler(**settings),
        }
    )
    mae, s, e, weighted = psm.MAE(), psm.Smeasure(), psm.Emeasure(), psm.WeightedFmeasure()
    for prediction, mask in images.values():
        pair = (prediction, mask) if normalize else (prediction / 255, mask > 128)
        for metric in (mae, s, e, weighted, f):
            metric.step(*pair, normalize=normalize)
    f, e = f.get_results(), e.get_results()["em"]
    return {
        "n": len(images),
        "mae": mae.get_results()["mae"],
        "precision": f["precision"]["adaptive"],
        "recall": f["recall"]["adaptive"],
        "f_fixed": f["f"]["binary"],
        "f_adaptive": f["f"]["adaptive"],
        "f_mean": f["f"]["dynamic"].mean(),
        "f_max": f["f"]["dynamic"].max(),
        "f_weighted": weighted.get_results()["wfm"],
        "s_measure": s.get_results()["sm"],
        "e_mean": e["curve"].mean(),
        "e_max": e["curve"].max(),
        "e_adaptive": e["adp"],
    }


@pytest.mark.parametrize("normalize", [False, True])
def test_results_equal_pysodmetrics(normalize):
    images = make_images(6, np.random.default_rng(1))
    benchmark = Benchmark(normalize=normalize)
    for key, (prediction, mask) in images.items():
        benchmark.step(key, prediction, mask > 128)
    results = benchmark.results()
    assert list(results) == KEYS
    for key, value in oracle(images, normalize).items():
        assert results[key] == pytest.approx(value, abs=1e-9), key


@pytest.mark.real_data
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("method", ["rbd", "dsr"])
def test_real_maps_equal_pysodmetrics(method, normalize):
    root = os.environ.get("USOD_REAL_DATA")
    if not root:
        pytest.skip("USOD_REAL_DATA is unset: no real maps here")
    folder = Path(root, "data", "SED2")
    images = {
        file.stem: (np.asarray(Image.open(file).convert("L")), read_grey(folder / "masks" / file.name))
        for file in sorted((folder / f"{method}_original").glob("*.png"))[::10]
    }
    assert images
    benchmark = Benchmark(normalize=normalize)
    for key, (prediction, mask) in images.items():
        benchmark.step(key, prediction, mask > 128)
    results = benchmark.results()
    for key, value in oracle(images, normalize).items():
        assert results[key] == pytest.approx(value, abs=1e-9), key


def read_grey(path):
    return np.asarray(Image.open(path).convert("L"))


def test_score_and_per_image_and_results_are_consistent():
    images = make_images(5, np.random.default_rng(2))
    benchmark = Benchmark()
    for prediction, mask in images.values():
        benchmark.step(prediction, mask > 128)
    frame = benchmark.per_image()
    assert list(frame["id"]) == ["0", "1", "2", "3", "4"]
    assert list(frame["empty_mask"]) == [False, True, False, False, False]
    for (_, row), (prediction, mask) in zip(frame.iterrows(), images.values(), strict=True):
        single = score(prediction.astype(np.float32) / 255, mask > 128)
        assert list(single) == list(MEASURES) == KEYS[1:]
        for key, value in single.items():
            assert row[key] == pytest.approx(value, abs=1e-6)
    results, curves = benchmark.results(), benchmark.curves()
    for key in ("mae", "f_fixed", "f_mean", "e_mean", "s_measure"):
        assert results[key] == pytest.approx(frame[key].mean())
    assert results["f_max"] == curves["f"].max() < frame["f_max"].mean()
    assert all(len(values) == 256 for values in curves.values())
    p, r = curves["precision"][:200], curves["recall"][:200]
    np.testing.assert_allclose(curves["f_of_pr"][:200], 1.3 * p * r / (0.3 * p + r))
    assert curves["f_of_pr"][255] == 0  # no prediction reaches 255


def test_skipping_empty_masks_leaves_them_out():
    images = make_images(4, np.random.default_rng(3))
    skipping, without = Benchmark(empty="skip"), Benchmark()
    for key, (prediction, mask) in images.items():
        skipping.step(key, prediction, mask > 128)
        if mask.any():
            without.step(key, prediction, mask > 128)
    assert skipping.results() == without.results()
    assert len(skipping.per_image()) == 4
    np.testing.assert_array_equal(skipping.curves()["f"], without.curves()["f"])


def test_memory_does_not_grow_with_pixels():
    benchmark = Benchmark()
    rng = np.random.default_rng(4)
    p, g = rng.random((200, 300)), rng.random((200, 300)) > 0.5
    benchmark.step("first", p, g)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(20):
        benchmark.step(str(number), p, g)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20 * 4000  # an image has 480 000 bytes


@pytest.mark.parametrize(
    ("prediction", "mask", "error", "words"),
    [
        (np.zeros((4, 5)), np.zeros((5, 4), bool), UsodError, r"'a': .*\(4, 5\).*\(5, 4\)"),
        (np.full((4, 5), 1.2), np.zeros((4, 5), bool), UsodError, "1.2"),
        (np.full((4, 5), np.nan), np.zeros((4, 5), bool), UsodError, "nan"),
        (np.zeros((4, 5), int), np.zeros((4, 5), bool), UsageError, "int64"),
        (np.zeros((4, 5)), np.zeros((4, 5), np.uint8), UsageError, "mask > 127"),
        (np.zeros((0, 5)), np.zeros((0, 5), bool), UsodError, "one size"),
        (np.zeros((4, 5, 1)), np.zeros((4, 5, 1), bool), UsodError, r"\(H, W\)"),
    ],
)
def test_bad_arrays_are_refused_by_name(prediction, mask, error, words):
    benchmark = Benchmark()
    with pytest.raises(error, match=words):
        benchmark.step("a", prediction, mask)
    assert benchmark.per_image().empty


def test_misuse_is_refused():
    with pytest.raises(UsageError, match="skip"):
        Benchmark(empty="drop")
    with pytest.raises(UsodError, match="no image"):
        Benchmark().results()
    benchmark = Benchmark()
    benchmark.step("a", np.zeros((2, 2)), np.ones((2, 2), bool))
    with pytest.raises(UsodError, match="'a' is scored twice"):
        benchmark.step("a", np.zeros((2, 2)), np.ones((2, 2), bool))


def test_evaluate_resizes_and_writes_its_files(tmp_path):
    rng = np.random.default_rng(5)
    masks = {key: rng.random((20, 30)) > 0.5 for key in ("a", "sub/b")}
    maps = Maps(
        {"a": np.ones((40, 40), np.float32), "sub/b": rng.random((20, 30), np.float32), "extra": np.zeros((2, 2))}
    )
    seen = []
    results = evaluate(
        maps,
        masks,
        per_image_csv=tmp_path / "out" / "rbd.csv",
        json_path=tmp_path / "out" / "rbd.json",
        progress=lambda ids: (seen.append(key) or key for key in ids),
    )
    assert seen == ["a", "sub/b"]
    expected = Benchmark()
    expected.step("a", np.ones((20, 30)), masks["a"])
    expected.step("sub/b", maps["sub/b"], masks["sub/b"])
    assert results.pop("protocols") == {}
    assert results == pytest.approx(expected.results())
    document = json.loads((tmp_path / "out" / "rbd.json").read_text())
    assert (
        list(document) == [*KEYS, "protocols", "left_out", "labels", "protocol", "curves"]
        and document["labels"] == "unknown"
    )
    assert document["protocol"]["size"].endswith("1 of 2 maps were resized to it bilinearly")
    assert set(document["curves"]) == {"thresholds", "precision", "recall", "f", "f_of_pr", "e"}
    frame = pd.read_csv(tmp_path / "out" / "rbd.csv")
    assert list(frame.columns) == ["id", *KEYS[1:], "empty_mask"]
    assert list(frame["id"]) == ["a", "sub/b"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["rbd.csv", "rbd.json"]


def test_evaluate_reads_the_mask_table(tmp_path):
    grey = np.array([[0, 100, 200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "m.png")
    table = pd.DataFrame(
        {"id": ["x"], "mask": [str(tmp_path / "m.png")], "threshold": [0.3], "foreground_share": [0.75]}
    )
    results = evaluate(Maps(x=np.array([[0, 1, 1, 1]], np.float32)), table)
    assert (results["n"], results["mae"], results["f_fixed"]) == (1, 0, 1)


def test_protocols_read_grey_masks_at_shares_of_their_own(tmp_path):
    """Grey values 0, 100, 200, 255: above .9 as the table says, above one half, above 0."""
    Image.fromarray(np.array([[0, 100, 200, 255]], np.uint8)).save(tmp_path / "m.png")
    table = pd.DataFrame({"id": ["x"], "mask": [str(tmp_path / "m.png")], "threshold": [0.9], "foreground_share": 0.25})
    results = evaluate(Maps(x=np.array([[0, 1, 1, 1]], np.float32)), table, under=["own", "csnet", "ldps"])
    assert {name: scores["mae"] for name, scores in results["protocols"].items()} == {
        "own": 0.5,
        "csnet": 0.25,
        "ldps": 0,
    }


def test_threads_change_nothing(tmp_path):
    rng = np.random.default_rng(6)
    masks = {f"im{i}": rng.random((20, 30)) > 0.5 for i in range(30)}
    maps = Maps({key: rng.random((25, 20), np.float32) for key in masks})
    found = [
        evaluate(maps, masks, per_image_csv=tmp_path / f"{threads}.csv", under=["deepusps", "a2s"], threads=threads)
        for threads in (1, 4)
    ]
    assert found[0] == found[1]
    assert (tmp_path / "1.csv").read_text() == (tmp_path / "4.csv").read_text()


def test_missing_maps_are_counted_and_named_and_nothing_is_written(tmp_path):
    masks = {f"im{i}": np.ones((2, 2), bool) for i in range(9)}
    with pytest.raises(UsodError, match=r"maps\.h5: 8 of 9 .*im1, im2"):
        evaluate(Maps(im0=np.zeros((2, 2))), masks, json_path=tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("maps", "listed", "part", "scored"),
    [
        (["x", "y"], ["x"], [], {"y"}),
        (["x", "y"], ["a/x", "b/y"], ["--part", "a"], {"y"}),
        (["a/x", "b/x", "a/y"], ["x"], ["--part", "a"], {"b/x", "a/y"}),
    ],
)
def test_images_that_were_learnt_are_left_out_under_their_names_in_joined_sets(tmp_path, maps, listed, part, scored):
    for key in maps:
        (tmp_path / "maps" / key).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / f"maps/{key}.png")
    (tmp_path / "list.csv").write_text("\n".join(["id", *listed]))
    given = [tmp_path / "maps", "--masks", tmp_path / "maps", "--per-image", tmp_path / "out.csv", "--json"]
    words = [*given, tmp_path / "out.json", "--without", tmp_path / "list.csv", *part, "--quiet"]
    app(["evaluate", *map(str, words)], standalone_mode=False)
    assert set(read_rows(tmp_path / "out.csv").index) == scored
    assert json.loads((tmp_path / "out.json").read_text())["left_out"] == len(maps) - len(scored)


def test_the_command_reads_masks_as_it_is_told(tmp_path, capsys):
    """Of three masks one is empty, and one is of grey 153: of a map that is it, or of nothing above 0.7."""
    square = np.zeros((8, 8), np.uint8)
    square[2:6, 2:6] = 1
    for name, level in (("white", 255), ("grey", 153), ("empty", 0)):
        for folder, value in (("masks", level), ("maps", 255)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(square * np.uint8(value)).save(tmp_path / folder / f"{name}.png")
    given = [
        "evaluate",
        str(tmp_path / "maps"),
        "--masks",
        str(tmp_path / "masks"),
        "--json",
        str(tmp_path / "out.json"),
    ]

    def scored(*words):
        app([*given, *words], standalone_mode=False)
        return json.loads((tmp_path / "out.json").read_text())

    wrong = 16 / 64  # the share of pixels where a mask is empty
    assert (scored()["n"], scored()["mae"]) == (3, pytest.approx(wrong / 3))
    assert (scored("--skip-empty")["n"], scored("--skip-empty")["mae"]) == (2, 0)
    strict = scored("--threshold", "0.7", "--protocol", "own", "--protocol", "ldps")
    assert strict["mae"] == pytest.approx(2 * wrong / 3)
    assert {name: each["mae"] for name, each in strict["protocols"].items()} == {
        "own": pytest.approx(2 * wrong / 3),
        "ldps": pytest.approx(wrong / 3),
    }
    assert "ldps: " in capsys.readouterr().out
