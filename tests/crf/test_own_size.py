"""`usod crf refine --index`: the CRF on the images themselves, whatever sizes the maps have."""

import subprocess

import numpy as np
from PIL import Image

from usod.crf import CRFParams, refine
from usod.data.images import resize_map
from usod.data.mapstore import MapStore, write_map
from usod.settings.sections import CrfConfig

from .. import forked

PARAMS = '{"gaussian_sxy": 1, "bilateral_sxy": 6, "iterations": 2}'


def usod(*arguments):
    return subprocess.run([forked.command(), *map(str, arguments)], capture_output=True, text=True)


def test_maps_are_refined_at_their_images_sizes(tmp_path, rng):
    """One map as large as its image, one of half its size."""
    images, maps = {}, {}
    for folder in ("images", "maps"):
        (tmp_path / folder).mkdir()
    for key, size in (("a", (40, 30)), ("b", (24, 36))):
        images[key] = rng.integers(0, 256, (*size, 3), np.uint8)
        maps[key] = (rng.integers(0, 256, size if key == "a" else (12, 18)) / 255).astype(np.float32)
        Image.fromarray(images[key]).save(tmp_path / "images" / f"{key}.png")
        write_map(tmp_path / "maps" / f"{key}.png", maps[key])
    index, out = tmp_path / "index.csv", tmp_path / "out.h5"
    assert usod("data", "index", tmp_path / "images", "--out", index).returncode == 0
    done = usod("crf", "refine", tmp_path / "maps", "--index", index, "--out", out, "--config", PARAMS)
    assert done.returncode == 0, done.stderr
    params = CRFParams(gaussian_sxy=1, bilateral_sxy=6, iterations=2)
    with MapStore(out) as store:
        for key, image in images.items():
            expected = refine(image, resize_map(maps[key], image.shape[:2]), params)
            assert store[key].shape == image.shape[:2] and np.abs(store[key] - expected).max() < 0.01


def test_images_are_given_once(tmp_path):
    for options in ((), ("--images", tmp_path / "i.h5", "--index", tmp_path / "i.csv")):
        done = usod("crf", "refine", tmp_path / "m.h5", "--out", tmp_path / "o.h5", *options)
        assert done.returncode == 2 and done.stderr.startswith("usod: error: give the images: either")


def test_widths_follow_the_working_size():
    """The same share of the map: a kernel of 80 pixels of 432 is one of 40 of 216."""
    half = CrfConfig().at(216)
    assert (half.bilateral_sxy, half.gaussian_sxy, half.bilateral_srgb) == (40, 1.5, 13)
    assert CrfConfig().at(432) == CrfConfig()
