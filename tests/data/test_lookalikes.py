"""Folders of masks that no name tells."""

import numpy as np
import pytest
from PIL import Image

from usod.data.check import check
from usod.data.index import build_index
from usod.data.lookalikes import masks_among_images
from usod.data.pairing import find_dataset
from usod.errors import UsodError

NOISE = {}


@pytest.fixture(autouse=True)
def _the_same_noise_in_every_test(rng):
    NOISE["rng"] = rng


def photograph(grey=False):
    pixels = NOISE["rng"].integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(pixels).convert("L") if grey else Image.fromarray(pixels)


def silhouette(mode="L"):
    half = np.zeros((16, 16), np.uint8)
    half[4:9] = 255
    return Image.fromarray(half).convert(mode)


def put(root, folder, picture, names="abcdef", suffix=".png"):
    (root / folder).mkdir(parents=True)
    for name in names:
        picture().save(root / folder / f"{name}{suffix}")


def found(root):
    return [(f.masks.relative_to(root).as_posix(), f.images.relative_to(root).as_posix(), f.shared)
            for f in masks_among_images(find_dataset(root))]  # fmt: skip


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P"])
def test_pictures_of_few_colours_beside_photographs_of_their_names(tmp_path, mode):
    put(tmp_path, "pics", photograph, suffix=".jpg")
    put(tmp_path, "objects", lambda: silhouette(mode))
    assert found(tmp_path) == [("objects", "pics", 6)]


def test_grey_photographs_have_masks_too(tmp_path):
    put(tmp_path, "xray", lambda: photograph(grey=True))
    put(tmp_path, "lesions", silhouette)
    assert found(tmp_path) == [("lesions", "xray", 6)]


def test_a_grey_photograph_among_others_hides_no_masks(tmp_path):
    put(tmp_path, "pics", photograph)
    photograph(grey=True).save(tmp_path / "pics" / "a.png")
    put(tmp_path, "objects", lambda: Image.linear_gradient("L").resize((32, 32)))
    assert found(tmp_path) == [("objects", "pics", 6)]


@pytest.mark.parametrize("kind", ["names", "one", "photographs", "drawings"])
def test_what_is_not_taken_for_masks(tmp_path, kind):
    put(tmp_path, "left", silhouette if kind == "drawings" else photograph)
    if kind == "one":  # one file is a picture after all
        put(tmp_path, "right", silhouette, "abcde")
        photograph().save(tmp_path / "right" / "f.png")
    else:
        put(
            tmp_path,
            "right",
            photograph if kind == "photographs" else silhouette,
            "uvwxyz" if kind == "names" else "abcdef",
        )
    assert found(tmp_path) == []


def test_they_are_not_trained_on_in_silence(tmp_path):
    put(tmp_path, "pics", photograph, suffix=".jpg")
    put(tmp_path, "objects", silhouette)
    with pytest.raises(UsodError, match=r"objects looks like the masks of .*pics: 6 of its files .* --masks .* images"):
        build_index(tmp_path)
    assert len(build_index(tmp_path, layout="images")) == 12
    assert len(build_index(tmp_path, masks_dir=tmp_path / "objects")) == 6
    report = check(tmp_path)
    assert not report.ok and any("objects looks like the masks of" in line for line in report.lines())
    assert check(tmp_path, masks_dir=tmp_path / "objects").ok
