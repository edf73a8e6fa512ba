import numpy as np
import pytest

from usod.errors import UsageError
from usod.inference.render import binarise, clean, render

RAMP = np.linspace(0, 1, 12).reshape(3, 4)
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
DISC = (np.hypot(*np.ogrid[-20:20, -30:30]) < 12).astype(np.float32)


def test_thresholds():
    """By hand: above 0.5 six of twelve; twice the mean is 1, which one reaches."""
    assert binarise(RAMP, 0.5).sum() == 6 and binarise(RAMP, "0.5").sum() == 6
    assert binarise(RAMP, "adaptive").sum() == 1
    two = np.concatenate([np.linspace(0.1, 0.2, 50), np.linspace(0.4, 0.5, 30)])[None]
    assert binarise(two, "otsu").sum() == 30


@pytest.mark.parametrize("threshold", ["adaptive", "otsu", "0.5"])
def test_an_empty_map_is_an_empty_mask(threshold):
    assert not binarise(np.zeros((4, 4)), threshold).any()


@pytest.mark.parametrize("threshold", ["much", "1.5", "-1", "nan"])
def test_wrong_thresholds_are_one_line(threshold):
    with pytest.raises(UsageError, match="a number from 0 to 1, adaptive or otsu"):
        binarise(RAMP, threshold)


def test_small_regions_go_and_holes_are_filled():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12] = True
    mask[5:8, 5:8] = False
    mask[16, 16] = True
    assert clean(mask, smallest=0.01).sum() == 100 - 9
    assert clean(mask, fill=True).sum() == 100 + 1
    assert clean(mask, smallest=0.01, fill=True).sum() == 100


def test_each_kind_of_picture():
    assert np.array_equal(np.asarray(render("map", IMAGE, 0.4 * DISC)), np.rint(255 * 0.4 * DISC))
    assert np.array_equal(np.asarray(render("mask", IMAGE, 0.6 * DISC)), 255 * DISC)
    cut = np.asarray(render("rgba", IMAGE, 0.4 * DISC))
    assert np.array_equal(cut[..., :3], IMAGE) and np.array_equal(cut[..., 3], np.rint(255 * 0.4 * DISC))
    overlay = np.asarray(render("overlay", IMAGE, DISC))
    assert np.array_equal(overlay[DISC > 0], IMAGE[DISC > 0])
    outside = overlay[0, 0].astype(int)
    assert outside.min() == outside.max() and outside[0] == int(0.6 * IMAGE[0, 0].mean())
