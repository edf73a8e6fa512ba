import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.data.index import MASK_COLUMNS
from usod.data.mask_folder import corrections_in_folder, masks_in_folder
from usod.errors import UsodError


def put(path, value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    half = np.zeros((4, 6), np.uint8)
    half[:2] = value
    Image.fromarray(half).save(path)
    return path


def test_masks_are_found_by_path_then_by_a_name_that_is_there_once(tmp_path):
    masks = {key: str(put(tmp_path / f"{key}.png")) for key in ("a", "x/b", "x/c", "y/c")}
    table = masks_in_folder(tmp_path, ["a", "x/c", "y/c", "b", "deep/a"])
    assert tuple(table.columns) == MASK_COLUMNS
    assert list(table["mask"]) == [masks[key] for key in ("a", "x/c", "y/c", "x/b", "a")]
    assert set(table["foreground_share"]) == {0.5}


def test_the_threshold_is_stored_and_used(tmp_path):
    put(tmp_path / "a.png", value=200)
    (row,) = masks_in_folder(tmp_path, ["a"], threshold=0.9).itertuples()
    assert (row.threshold, row.foreground_share) == (0.9, 0)


def test_hidden_and_foreign_files_are_no_masks(tmp_path):
    put(tmp_path / "a.png")
    for stray in ("x/__MACOSX/a.png", "x/._a.png", ".cache/a.png", "x/a.txt"):
        (tmp_path / stray).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stray).write_bytes(b"no mask")
    assert list(masks_in_folder(tmp_path, ["z/a"])["mask"]) == [str(tmp_path / "a.png")]


def test_missing_masks_are_named(tmp_path):
    for name in ("x/c.png", "y/c.png"):
        put(tmp_path / name)
    with pytest.raises(UsodError, match="7 of 7 maps have no mask here: c, 0, 1, 2, 3, ...$"):
        masks_in_folder(tmp_path, ["c", *"012345"])  # two masks are called c
    with pytest.raises(UsodError, match="nowhere: no such folder of masks"):
        masks_in_folder(tmp_path / "nowhere", ["a"])


INDEX = pd.DataFrame({"id": ["a", "x/b", "y/b"], "height": [4, 8, 4], "width": [6, 12, 6]})


def test_corrections_are_masks_of_some_images(tmp_path):
    put(tmp_path / "deep/a.png")
    scaled = put(tmp_path / "x/b.png")
    table = corrections_in_folder(tmp_path, INDEX)
    assert list(table["id"]) == ["a", "x/b"] and table["mask"][1] == str(scaled)
    assert list(table["foreground_share"]) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (None, None, "no masks (PNG or the like) in this folder of corrections"),
        ("c.png", "mask", "1 of 1 masks have the name of no image, or share it with another mask: c.png"),
        ("b.png", "mask", "b.png has the name of several images"),
        ("a.png", "turned", "a.png: is 4x6, its image is 6x4"),
        ("a.png", "broken", "a.png: "),
    ],
)
def test_corrections_that_do_not_fit_are_named(tmp_path, name, content, said):
    if name:
        file = put(tmp_path / name)
        if content == "turned":
            Image.fromarray(np.zeros((6, 4), np.uint8)).save(file)
        if content == "broken":
            file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UsodError, match=re.escape(said)):
        corrections_in_folder(tmp_path, INDEX)
