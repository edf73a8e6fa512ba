"""Several data sets as one: the same rows, under names that say whose they are."""

import numpy as np
import pytest
from PIL import Image

from usod.data.features import FeatureStore, write_features
from usod.data.index import build_index, build_masks, read_index, read_masks, write_index
from usod.data.joined import join
from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.errors import UsodError
from usod.provenance import file_digest


def attributes(labels="none", **config):
    return {"config": config, "inputs": {}, "labels": labels, "usod_version": "0", "created_by": "usod t"}


def parts(tmp_path, suffix):
    return {name: tmp_path / f"{name}{suffix}" for name in ("a", "b")}


def test_tables_are_joined_with_their_rights(tmp_path):
    for name, count in (("a", 2), ("b", 1)):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "masks").mkdir()
        for number in range(count):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"images/{number}.jpg")
            Image.new("L", (4, 4), 255).save(tmp_path / name / f"masks/{number}.png")
        table = build_index(tmp_path / name, rights="CC0" if name == "a" else None)
        write_index(table, tmp_path / f"{name}-index.csv")
        write_index(build_masks(tmp_path / name), tmp_path / f"{name}-masks.csv")
    assert join(parts(tmp_path, "-index.csv"), tmp_path / "both/index.csv") == 3
    index = read_index(tmp_path / "both/index.csv")
    assert list(index["id"]) == ["a/0", "a/1", "b/0"] and list(index["rights"]) == ["CC0", "CC0", "unknown"]
    assert index["image"][2] == str(tmp_path / "b/images/0.jpg") and index["height"].sum() == 12
    join(parts(tmp_path, "-masks.csv"), tmp_path / "both/masks.csv")
    assert list(read_masks(tmp_path / "both/masks.csv")["foreground_share"]) == [1, 1, 1]


def test_stores_are_joined_row_by_row(tmp_path, rng):
    sizes = {"a": np.array([[4, 6], [5, 3]]), "b": np.array([[7, 2]])}
    for name, own in sizes.items():
        ids, labels = [str(row) for row in range(len(own))], "none" if name == "a" else "masks"
        with write_maps(tmp_path / f"{name}-maps.h5", ids, own, own, attributes(labels)) as rows:
            rows.fill(rng.integers(0, 256, tuple(size), np.uint8) for size in own)
        with write_images(tmp_path / f"{name}-images.h5", ids, (8, 8), own, attributes()) as rows:
            rows.fill(rng.integers(0, 256, (len(own), 8, 8, 3), np.uint8))
        with write_features(tmp_path / f"{name}-features.h5", ids, (2, 2, 3), own, attributes(), "int8") as rows:
            rows.fill(rng.normal(size=(len(own), 2, 2, 3)))
    images = tmp_path / "images.h5"
    join(parts(tmp_path, "-images.h5"), images)
    for kind, store in (("maps", MapStore), ("images", ImageStore), ("features", FeatureStore)):
        out = tmp_path / f"{kind}.h5"
        join(parts(tmp_path, f"-{kind}.h5"), out, images if kind == "features" else None)
        with store(out) as joined, store(tmp_path / f"a-{kind}.h5") as a, store(tmp_path / f"b-{kind}.h5") as b:
            assert joined.ids == ["a/0", "a/1", "b/0"]
            assert np.array_equal(joined.original_size, np.concatenate([sizes["a"], sizes["b"]]))
            assert np.array_equal(joined["a/1"], a["1"]) and np.array_equal(joined["b/0"], b["0"])
            assert joined.labels == ("masks" if kind == "maps" else "none")
            assert (joined.attributes["inputs"].get("images") == file_digest(images)) == (kind == "features")


def test_stores_of_other_settings_are_refused(tmp_path):
    for name, size in (("a", 1), ("b", 2)):
        with write_maps(tmp_path / f"{name}.h5", ["x"], (2, 2), np.array([[2, 2]]), attributes(size=size)) as rows:
            rows["x"] = np.zeros((2, 2))
    with pytest.raises(UsodError, match=r"b\.h5: made with other settings than .*a\.h5"):
        join(parts(tmp_path, ".h5"), tmp_path / "both.h5")
