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
    assert binarise(np.array([[0.0, 0.25, 0.5]]), 0.25).tolist() == [[False, False, True]], "above, not from there on"


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
    diagonal = np.eye(20, dtype=bool)
    assert (clean(diagonal, smallest=20 / 400) == diagonal).all(), "corner by corner it is one region"


def test_each_kind_of_picture():
    assert np.array_equal(np.asarray(render("map", IMAGE, 0.4 * DISC)), np.rint(255 * 0.4 * DISC))
    assert np.array_equal(np.asarray(render("mask", IMAGE, 0.6 * DISC)), 255 * DISC)
    cut = np.asarray(render("rgba", IMAGE, 0.4 * DISC))
    assert np.array_equal(cut[..., 3], np.rint(255 * 0.4 * DISC))
    opaque = np.asarray(render("rgba", IMAGE, DISC))
    assert np.array_equal(opaque[..., :3], IMAGE) and np.array_equal(opaque[..., 3], 255 * DISC)
    overlay = np.asarray(render("overlay", IMAGE, DISC))
    assert np.array_equal(overlay[DISC > 0], IMAGE[DISC > 0])
    outside = overlay[0, 0].astype(int)
    assert outside.min() == outside.max() and outside[0] == int(0.6 * IMAGE[0, 0].mean())


def blue_disc_on_green():
    """A disc with a soft edge of four pixels, composed by the formula: image, true opacity."""
    distance = np.hypot(*np.ogrid[-60:60, -70:70])
    opacity = np.clip((38 - distance) / 4, 0, 1)
    return np.rint(opacity[..., None] * (20, 30, 200) + (1 - opacity[..., None]) * (40, 220, 60)).astype(
        np.uint8
    ), opacity


def test_a_cut_out_has_no_halo():
    """Composed over black, its edge is the disc's own colour made darker: nothing of the green background is left."""
    image, opacity = blue_disc_on_green()
    cut = np.asarray(render("rgba", image, opacity)).astype(float)
    edge = (opacity > 0.2) & (opacity < 0.8)
    error = np.abs(cut[..., :3] - (20, 30, 200))[edge].mean()
    assert error < 25 < np.abs(image - (20.0, 30, 200))[edge].mean()


def test_where_a_cut_out_is_opaque_it_has_the_colours_of_the_image():
    _, opacity = blue_disc_on_green()
    image = np.random.default_rng(0).integers(0, 256, (*opacity.shape, 3)).astype(np.uint8)
    cut = np.asarray(render("rgba", image, opacity, alpha="map"))
    assert np.array_equal(cut[opacity == 1][:, :3], image[opacity == 1]) and (cut[opacity == 1][:, 3] == 255).all()


@pytest.mark.parametrize("method", ["closed-form", "knn"])
def test_matting_finds_the_opacity_that_a_hard_map_lacks(method, monkeypatch):
    image, opacity = blue_disc_on_green()
    hard = (opacity > 0.5).astype(np.float32)
    found = np.asarray(render("rgba", image, hard, alpha=method))[..., 3] / 255
    edge = (opacity > 0) & (opacity < 1)
    assert np.abs(found - opacity)[edge].mean() < 0.06 < 0.2 < np.abs(hard - opacity)[edge].mean()
    monkeypatch.setattr("usod.inference.matting.MATTING_SIDE", 70)  # as for a large photograph
    reduced = np.asarray(render("rgba", image, hard, alpha=method))[..., 3] / 255
    assert np.abs(reduced - opacity)[edge].mean() < 0.1


@pytest.mark.parametrize("level", [0, 0.3, 1])
def test_a_map_without_an_edge_can_be_cut_out(level):
    cut = np.asarray(render("rgba", IMAGE, np.full((40, 60), level), alpha="closed-form"))
    assert (cut[..., 3] == (255 if level == 1 else 0)).all()


@pytest.mark.parametrize("method", ["closed-form", "knn"])
def test_an_image_of_a_few_pixels_is_cut_out_by_its_map(method, capsys):
    for height, width in ((1, 1), (2, 2), (2, 9)):
        saliency = np.linspace(0.2, 0.7, height * width, dtype=np.float32).reshape(height, width)
        cut = np.asarray(render("rgba", IMAGE[:height, :width], saliency, alpha=method))
        assert cut.shape == (height, width, 4)
    assert np.array_equal(cut[..., 3], np.rint(255 * saliency))
    assert f"{method} matting finds no opacity for 2 x 9 pixels" in capsys.readouterr().err


def test_a_filled_hole_is_opaque():
    ring = DISC - (np.hypot(*np.ogrid[-20:20, -30:30]) < 5)
    assert np.array_equal(np.asarray(render("rgba", IMAGE, ring, fill=True))[..., 3], 255 * DISC)
