import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.data.index import build_index, write_index
from usod.data.mapstore import write_maps
from usod.evaluation.agreement import agreement, ranked, write_arrays

ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}


def test_two_methods_by_hand():
    a, b = np.array([[1.0, 0.5], [0.0, 0.0]]), np.array([[0.5, 0.5], [0.5, 0.0]])
    found = agreement({"a": a, "b": b}, {"a": a - 0.1, "other": b})
    assert found["agreement"] == pytest.approx(1.0 / 2.0), "minima .5 + .5, maxima 1 + .5 + .5"
    assert found["difference"] == pytest.approx(0.25) and found["movement"] == pytest.approx(0.1)
    assert found["undecided"] == 0.25, "means .75, .5, .25, 0: within .25 of .5, not at it, is one"
    assert found["salient"] == pytest.approx(0.375)


def test_empty_labels_agree_and_one_method_has_no_agreement():
    nothing = np.zeros((2, 2))
    assert agreement({"a": nothing, "b": nothing}, {})["agreement"] == 1
    single = agreement({"a": nothing}, {"a": nothing + 0.2})
    assert np.isnan(single["agreement"]) and single["movement"] == pytest.approx(0.2)
    table = ranked([{"id": "still", **single, "movement": 0.1}, {"id": "moving", **single}])
    assert list(table["id"]) == ["moving", "still"] and list(table["rank"]) == [1, 2]
    assert list(table["doubt"]) == pytest.approx([0.2, 0.1]), "there is no agreement to be in doubt of"
    table = ranked([{"id": "a", **single}, {"id": "b", **single, "movement": 0.0}], ["a"])
    assert list(table["id"]) == ["b", "a"] and list(table["doubt"]) == [0, 0], "a person has decided, so it comes last"


@pytest.fixture
def labels(tmp_path):
    """Three images on which b differs from a nowhere, a little, and everywhere."""
    ids, disc = ["agreed", "near", "torn"], np.zeros((16, 16))
    disc[4:12, 4:12] = 1
    stores = {"a": [disc, disc, disc], "b": [disc, np.roll(disc, 1, 0), 1 - disc]}
    for name, maps in stores.items():
        with write_maps(tmp_path / f"{name}.h5", ids, (16, 16), [[16, 16]] * 3, ATTRIBUTES) as rows:
            for key, saliency in zip(ids, maps, strict=True):
                rows[key] = saliency
    for key in ids:
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.effect_noise((16, 16), 90).convert("RGB").save(tmp_path / f"photos/{key}.png")
    write_index(build_index(tmp_path / "photos"), tmp_path / "index.csv")
    return tmp_path


def test_nothing_rises_as_methods_disagree_and_falls_with_what_is_found():
    rng = np.random.default_rng(0)
    disc = (np.hypot(*np.ogrid[-32:32, -32:32]) < 16).astype(float)
    alike, apart = {"a": disc, "b": 0.9 * disc}, {"a": disc, "b": 0.9 * np.roll(disc, 32, 0)}
    found = [agreement(labels, {}, {"net": disc})["nothing"] for labels in (alike, apart)]
    by_hand = 5.7 - 11.7 * (0.9 + 1 + 0.9) / 3 - 4.5 * np.sqrt(0.1)  # the disc is more than a tenth of the image
    assert found[0] == pytest.approx(1 / (1 + np.exp(-by_hand))) and found[1] > found[0] + 0.1
    nothing = np.zeros((64, 64))
    assert agreement(apart, {}, {"net": nothing})["nothing"] > found[1]
    assert agreement({"a": nothing, "b": nothing}, {})["nothing"] == 1
    faint = 0.3 * rng.random((64, 64))  # by hand: nothing above .5, so logistic(1.4 + 7.4)
    assert agreement({"a": faint}, {})["nothing"] == pytest.approx(1 / (1 + np.exp(-8.8)))
    assert agreement({"a": disc}, {})["nothing"] < 0.25


def agree(folder, *more):
    usod = [
        sys.executable,
        "-m",
        "usod",
        "maps",
        "agree",
        "--labels",
        f"a={folder}/a.h5",
        "--labels",
        f"b={folder}/b.h5",
    ]
    given = [*usod, "--csv", folder / "doubts.csv", "--index", folder / "index.csv", *more]
    return subprocess.run(given, capture_output=True, text=True, check=False)


def test_the_most_doubtful_image_comes_first_with_the_path_that_fiftyone_reads(labels):
    assert agree(labels).returncode == 0
    table = pd.read_csv(labels / "doubts.csv")
    assert list(table["id"]) == ["torn", "near", "agreed"]
    assert list(table["doubt"]) == pytest.approx([1, 1 - 56 / 72, 0], abs=1e-6)
    assert table["nothing"].between(0, 1).all() and table["nothing"][0] > table["nothing"][2]
    assert table["filepath"][0] == str(labels / "photos/torn.png")


def test_maps_of_another_size_are_compared_at_that_of_the_first_method(labels):
    """One method's maps, two times as large: a block of four pixels of theirs is one of the others'."""
    ids, disc = ["agreed", "near", "torn"], np.zeros((16, 16))
    disc[4:12, 4:12] = 1
    with write_maps(labels / "b.h5", ids, (32, 32), [[16, 16]] * 3, ATTRIBUTES) as rows:
        for key in ids:
            rows[key] = disc.repeat(2, 0).repeat(2, 1)
    done = agree(labels)
    assert done.returncode == 0, done.stderr
    assert (pd.read_csv(labels / "doubts.csv")["doubt"] < 0.2).all()


def test_cleanlab_reads_the_arrays_and_finds_the_image(labels):
    rank = pytest.importorskip("cleanlab.segmentation.rank", reason="cleanlab is not installed")
    assert agree(labels, "--arrays", labels / "arrays", "--given", "a", "--side", "16").returncode == 0
    arrays = [np.load(labels / "arrays" / name, mmap_mode="r") for name in ("labels.npy", "pred_probs.npy")]
    scores, _ = rank.get_label_quality_scores(*arrays, verbose=False)
    ids = (labels / "arrays/ids.txt").read_text().split()
    assert ids[int(np.argmin(scores))] == "torn" and ids[int(np.argmax(scores))] == "agreed"


def test_a_method_alone_cannot_be_judged(labels):
    done = agree(labels, "--arrays", labels / "arrays", "--given", "c")
    assert done.returncode == 2 and "--given c: one of a, b" in done.stderr.replace("\n", " ")
    assert not list((labels / "arrays").glob("*.npy")) and not (labels / "doubts.csv").exists()


def test_arrays_need_not_fit_into_memory_at_once(tmp_path):
    maps = ({"a": np.eye(8), "b": np.ones((8, 8))} for _ in range(3))
    write_arrays(tmp_path, maps, ["x", "y", "z"], "a", 8)
    probabilities = np.load(tmp_path / "pred_probs.npy")
    assert (
        probabilities.shape == (3, 2, 8, 8)
        and np.allclose(probabilities.sum(1), 1)
        and (probabilities[:, 1] == 1).all()
    )
