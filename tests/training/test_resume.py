"""A training that is killed again and again ends as one that never was."""

import multiprocessing
import sys
import time

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from usod.data.mapstore import MapStore, write_images, write_maps

EPOCHS = 12
REFINE = f'{{"epochs": {EPOCHS}, "batch_size": 4, "lr": 3e-3, "flip": true, "crf": {{"bilateral_sxy": 8}}}}'
NETWORK = '{"light_width": 8}'


def refine(images, maps, folder):
    """The command line, in a process that has everything imported: the fixture `workers` has seen to it."""
    import torch

    from usod.cli import main

    torch.set_num_threads(1)
    outputs = ["--out-labels", folder / "labels.h5", "--out-model", folder / "model.safetensors"]
    outputs += ["--history", folder / "history.csv"]
    command = ["usod", "deepusps", "refine", "--images", images, "--maps", maps, "--config", REFINE, *outputs]
    sys.argv = [*map(str, command), "--network", NETWORK, "--device", "cpu", "--threads", "1", "--quiet"]
    main()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("stores"), np.random.default_rng(0)
    ids, size = [f"i{i}" for i in range(22)], (48, 48)
    attributes = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
    arguments = (ids, size, np.full((len(ids), 2), 48), attributes)
    with write_images(folder / "images.h5", *arguments) as rows:
        for key in ids:
            rows[key] = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with write_maps(folder / "maps.h5", *arguments) as rows:
        for key in ids:
            rows[key] = rng.random((6, 6)).repeat(8, 0).repeat(8, 1)
    return folder / "images.h5", folder / "maps.h5"


def test_killed_at_random_moments_it_ends_with_the_same_labels_and_weights(stores, tmp_path):
    context = multiprocessing.get_context("forkserver")
    through = context.Process(target=refine, args=(*stores, tmp_path / "through"))
    through.start()
    through.join()
    assert through.exitcode == 0

    rng = np.random.default_rng()  # other moments in every run
    state = tmp_path / "killed" / ".resume" / "model" / "state.pt"
    for number in range(6):
        before = state.stat().st_mtime_ns if state.exists() else None
        process = context.Process(target=refine, args=(*stores, tmp_path / "killed"))
        process.start()
        if number % 2:
            process.join(timeout=rng.uniform(0, 0.5))  # anywhere, most often before its first epoch
        else:  # in the epoch after one that was kept, however fast the machine is
            while process.is_alive() and (not state.exists() or state.stat().st_mtime_ns == before):
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
    assert state.exists(), "some epochs were kept, and not all were done"
    process = context.Process(target=refine, args=(*stores, tmp_path / "killed"))
    process.start()
    process.join()
    assert process.exitcode == 0

    labels, again = (MapStore(tmp_path / name / "labels.h5") for name in ("through", "killed"))
    assert np.array_equal(labels.read_all(labels.ids), again.read_all(labels.ids))
    weights, same = (load_file(tmp_path / name / "model.safetensors") for name in ("through", "killed"))
    assert weights.keys() == same.keys() and all(np.array_equal(weights[key], same[key]) for key in weights)
    history, other = (pd.read_csv(tmp_path / name / "history.csv") for name in ("through", "killed"))
    assert list(other["epoch"]) == list(range(1, EPOCHS + 1)) and list(history["loss"]) == list(other["loss"])
    assert sorted(file.name for file in (tmp_path / "killed").iterdir()) == [
        "history.csv", "labels.h5", "model.safetensors"
    ]  # fmt: skip
