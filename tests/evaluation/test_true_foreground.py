"""The share of foreground among what maps are sure of, and its verb."""

import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from .. import forked


@pytest.fixture
def folders(tmp_path):
    """Image a: three sure pixels, two of them right; b: one, right; c: none, and a map of another size."""
    a = np.array([[255, 230, 229, 0], [230, 0, 0, 0]], np.uint8)
    b = np.array([[0, 0, 0, 0], [0, 0, 0, 255]], np.uint8)
    c = np.full((4, 8), 204, np.uint8)
    masks = {"a": [[1, 1, 1, 0], [0, 0, 0, 0]], "b": [[0, 0, 0, 0], [0, 0, 0, 1]], "c": [[1, 1, 1, 1], [0, 0, 0, 0]]}
    for folder, pictures in (("maps", {"a": a, "b": b, "c": c}), ("masks", masks)):
        (tmp_path / folder).mkdir()
        for key, values in pictures.items():
            scale = 255 if folder == "masks" else 1
            Image.fromarray((np.array(values) * scale).astype(np.uint8)).save(tmp_path / folder / f"{key}.png")
    return tmp_path


def usod(*arguments):
    return subprocess.run([forked.command(), "maps", "precision", *map(str, arguments)], capture_output=True, text=True)


def test_the_ratio_is_over_all_sure_pixels(folders):
    """The paper's theta belongs to the sure pixels; images without any do not count."""
    done = usod(
        folders / "maps", "--masks", folders / "masks", "--theta", 0.9, "--theta", 0.8, "--csv", folders / "t.csv"
    )
    assert done.returncode == 0, done.stderr
    assert "theta 0.9: 0.7500 of the sure pixels are foreground (image by image 0.8333); 2 of 3" in done.stdout
    table = pd.read_csv(folders / "t.csv")
    assert table["theta"].tolist() == [0.9, 0.8] and table["images"].tolist() == [2, 3]
    # At 0.8 also a's pixel of 229, right, and all eight of c, four of them right.
    assert table["ratio"].tolist() == pytest.approx([3 / 4, 8 / 13], abs=1e-6)
    assert table["area"].tolist() == pytest.approx([4 / 24, 13 / 24], abs=1e-6)


def test_masks_are_given_once(folders):
    for arguments in ((), ("--masks", folders, "--index", folders / "masks.csv")):
        done = usod(folders / "maps", *arguments)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "masks" in done.stderr


def test_maps_that_are_sure_of_nothing_have_no_ratio(folders):
    for file in (folders / "maps").iterdir():
        Image.new("L", (4, 2), 10).save(file)
    done = usod(folders / "maps", "--masks", folders / "masks")
    assert done.returncode == 0 and "theta 0.9: none of 3 images" in done.stdout
    assert "Warning" not in done.stderr
