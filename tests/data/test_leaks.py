"""Photographs that two data sets share."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from usod.data.index import build_index
from usod.data.leaks import find_leaks, leaked
from usod.errors import UsodError


def scene(number):
    """A picture of smooth shapes, 180x120."""
    small = np.random.default_rng(number).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((180, 120), Image.Resampling.BICUBIC)


def test_copies_are_found_and_other_pictures_are_not(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
    for number in range(12):
        scene(number).save(tmp_path / f"train/{number:02}.png")
    copies = {
        "same": lambda image: image,
        "small": lambda image: image.resize((90, 60)),
        "square": lambda image: image.resize((150, 150)),
        "grey": lambda image: image.convert("L"),
        "darker": lambda image: image.point(lambda value: value * 0.6),
        "cropped": lambda image: image.crop((4, 2, 178, 119)),
    }
    for number, (name, change) in enumerate(copies.items()):
        change(scene(number)).save(tmp_path / f"test/{name}.png")
    scene(6).save(tmp_path / "test/compressed.jpg", quality=20)
    ImageOps.flip(scene(7)).save(tmp_path / "test/upside-down.png")
    scene(50).save(tmp_path / "test/other.png")
    for name, x in (("flat", 20), ("flatter", 120)):  # a dot in the sky, here and there
        picture = Image.new("RGB", (180, 120), (90, 140, 220))
        picture.paste((255, 255, 255), (x, 40, x + 25, 60))
        picture.save(tmp_path / f"{'train' if name == 'flat' else 'test'}/{name}.png")
    pairs = find_leaks(build_index(tmp_path / "train"), build_index(tmp_path / "test"))
    expected = {f"{number:02}": name for number, name in enumerate([*copies, "compressed"])}
    assert dict(zip(pairs["a"], pairs["b"], strict=True)) == expected and len(pairs) == 7
    assert pairs.set_index("b")["how"].to_dict() == dict.fromkeys(expected.values(), "alike") | {"same": "equal"}
    assert leaked(pairs, "A", "B") == "7 images of B look like images of A, 1 of them the same file."
    assert leaked(pairs[1:2], "A", "B") == "1 image of B looks like images of A."
    assert leaked(pairs[:0], "A", "B") == ""


def test_an_index_that_lacks_hashes_is_refused(tmp_path):
    for number in range(3):
        scene(number).save(tmp_path / f"{number}.png")
    whole = build_index(tmp_path)
    for lacking in (whole.drop(columns="dhash"), whole.assign(dhash=[whole["dhash"][0], "", whole["dhash"][2]])):
        with pytest.raises(UsodError, match="of an older usod"):
            find_leaks(whole, lacking)
