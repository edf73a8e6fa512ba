"""What the detectors have in common: which images they take, and how large ones are reduced."""

import inspect

import numpy as np
import pytest
from skimage import color, util

import usod.handcrafted
from usod.data.images import resize_image, resize_map
from usod.handcrafted import METHODS, parameters
from usod.handcrafted.detector import as_rgb


@pytest.fixture
def rgb(rng):
    """(12, 10, 3) uint8."""
    return rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)


def test_what_scikit_image_calls_one_image_is_one(rgb):
    grey = rgb[..., 0]
    opaque = np.dstack([rgb, np.full(grey.shape, 255, np.uint8)])
    for same in (rgb, util.img_as_float(rgb), util.img_as_float32(rgb), util.img_as_uint(rgb), opaque):
        np.testing.assert_array_equal(as_rgb(same), rgb)
    for same in (grey, grey[..., None], util.img_as_float(grey), color.gray2rgb(grey)):
        np.testing.assert_array_equal(as_rgb(same), np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(as_rgb(grey > 99), np.stack([np.where(grey > 99, 255, 0)] * 3, axis=-1))
    assert as_rgb(grey).dtype == np.uint8


def test_what_is_transparent_lies_over_white(rgb):
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 51, np.uint8)])  # a fifth
    assert np.abs(as_rgb(rgba) - (rgb / 5 + 255 * 4 / 5)).max() <= 0.5 + 1e-9
    assert (as_rgb(util.img_as_float(rgba)) == as_rgb(rgba)).all()


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda rgb: rgb.tolist(), "got list"),
        (lambda rgb: rgb[..., :2], r"got shape \(12, 10, 2\)"),
        (lambda rgb: rgb.transpose(2, 0, 1), r"got shape \(3, 12, 10\)"),
        (lambda rgb: rgb[None], r"got shape \(1, 12, 10, 3\)"),
        (lambda rgb: rgb[:0], r"not empty, got shape \(0, 10, 3\)"),
        (lambda rgb: rgb.astype(np.int64), "got int64"),
        (lambda rgb: rgb.astype(float), r"in 0\.\.1, got .*\.\.25\d"),
        (lambda rgb: rgb / 255 - 0.5, r"got -0\.5\.\."),
        (lambda rgb: np.full((4, 4), np.nan), "got nan"),
    ],
)
def test_anything_else_is_named(rgb, wrong, got):
    with pytest.raises(ValueError, match=got):
        METHODS["mc"](wrong(rgb))


@pytest.mark.parametrize("method", METHODS)
def test_a_large_image_is_worked_on_small(method, rng):
    """Of 1200 x 400 pixels, as large ones take minutes where nothing reduces them; also through the package's name."""
    large = rng.integers(0, 256, (6, 18, 3), dtype=np.uint8).repeat(67, 0).repeat(67, 1)[:400, :1200]
    small = resize_image(large, (213, 640))
    expected = METHODS[method](small)
    found = getattr(usod.handcrafted, method)(large)
    np.testing.assert_array_equal(found, resize_map(expected, (400, 1200)))
    np.testing.assert_array_equal(METHODS[method](large, size=(90, 80)), resize_map(expected, (90, 80)))
    np.testing.assert_array_equal(METHODS[method](small, max_side=0), expected)
    assert not np.array_equal(METHODS[method](small, max_side=200), expected)


@pytest.mark.parametrize("method", METHODS)
def test_it_says_what_it_takes(method):
    signature = inspect.signature(METHODS[method]).parameters
    assert parameters(method)[0] == "max_side" and set(parameters(method)) == set(signature) - {"image", "size"}
    assert signature["max_side"].default == 640
    for word in ("max_side :", "size :", "RGBA", "Default 640"):
        assert METHODS[method].__doc__.count(word) == 1


def test_no_negative_side():
    with pytest.raises(ValueError, match="max_side .* -1"):
        METHODS["mc"](np.zeros((4, 4, 3), np.uint8), max_side=-1)
