import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.data.mapstore import MapStore, write_maps
from usod.errors import UsodError
from usod.evaluation.epochs import evaluate_epochs

ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}


def watched(folder, ids, maps):
    with write_maps(folder / "watched.h5", ids, (2, 2), np.full((len(ids), 2), 2), ATTRIBUTES) as rows:
        for key, value in zip(ids, maps, strict=True):
            rows[key] = np.asarray(value, np.float32)
    return MapStore(folder / "watched.h5")


def test_each_epoch_is_averaged_over_the_images_that_have_a_mask(tmp_path):
    """By hand: epoch 0 is wrong by 1/2 everywhere, epoch 1 right for a, wrong in one of four pixels for b."""
    mask = [[1, 1], [0, 0]]
    for name in "ab":
        Image.fromarray(np.array(mask, np.uint8) * 255).save(tmp_path / f"{name}.png")
    table = pd.DataFrame({"id": ["a", "b"], "mask": [str(tmp_path / f"{n}.png") for n in "ab"], "threshold": 0.5})
    half, one_off = np.full((2, 2), 128 / 255), [[1, 0], [0, 0]]
    ids = [f"{epoch:03d}/{name}" for epoch in (1, 0) for name in ("a", "b", "without")]
    store = watched(tmp_path, ids, [mask, one_off, half, half, half, half])
    found = evaluate_epochs(store, table)
    assert found["epoch"].tolist() == [0, 1] and found["n"].tolist() == [2, 2]
    assert found["mae"].tolist() == pytest.approx([0.5, 0.125], abs=1e-6)
    # b: precision 1, recall 1/2: F = 1.3 * 0.5 / (0.3 + 0.5); a: 1. Nothing is above twice the mean, 1.004, in epoch 0.
    assert found["f_adaptive"][1] == pytest.approx((1 + 0.65 / 0.8) / 2)


def test_maps_are_scored_at_the_size_of_their_mask(tmp_path):
    Image.fromarray(np.full((6, 4), 255, np.uint8)).save(tmp_path / "a.png")
    table = pd.DataFrame({"id": ["a"], "mask": [str(tmp_path / "a.png")], "threshold": 0.5})
    found = evaluate_epochs(watched(tmp_path, ["002/a"], [np.ones((2, 2))]), table)
    assert found.to_numpy().tolist() == [[2, 1, 0, 1]]


def test_other_maps_are_refused(tmp_path):
    table = pd.DataFrame({"id": ["a"], "mask": ["a.png"], "threshold": 0.5})
    with pytest.raises(UsodError, match="EPOCH/ID"):
        evaluate_epochs(watched(tmp_path, ["a"], [np.zeros((2, 2))]), table)
    with pytest.raises(UsodError, match="no watched image has a mask"):
        evaluate_epochs(watched(tmp_path, ["000/b"], [np.zeros((2, 2))]), table)
