from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from usod.cli import app
from usod.errors import UsageError, UsodError
from usod.handcrafted import METHODS
from usod.handcrafted.detector import detector
from usod.handcrafted.extract import Job, extract_map, extract_maps


@pytest.fixture
def photo(tmp_path, disc):
    """The disc, 120 high and 160 wide, as a file."""
    Image.fromarray(disc[0]).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.fixture
def seen(monkeypatch):
    """Puts a method in the place of RBD that notes the shapes of its images: bright is salient."""
    shapes = []

    @detector
    def bright(image, *, sigma=1.0):
        shapes.append(image.shape)
        return image[..., 0].astype(np.float32) / 255 * np.float32(sigma)

    monkeypatch.setattr("usod.handcrafted.METHODS", {"rbd": bright})
    return shapes


@pytest.mark.parametrize(
    ("max_side", "shape"), [(0, (120, 160, 3)), (160, (120, 160, 3)), (80, (60, 80, 3)), (41, (31, 41, 3))]
)
def test_large_images_are_reduced_first(photo, seen, max_side, shape):
    saliency = extract_map(Job(photo, "rbd", {}, True, max_side))
    assert seen == [shape]
    assert saliency.shape == (120, 160) and saliency.dtype == np.float32
    assert extract_map(Job(photo, "rbd", {}, False, max_side)).shape == shape[:2], "as the method saw it"


def test_the_methods_own_max_side_counts(photo, seen):
    extract_map(Job(photo, "rbd", {"max_side": 40}, True, 80))
    extract_map(Job(photo, "rbd", {"max_side": 0}, True, 80))
    assert seen == [(30, 40, 3), (120, 160, 3)]
    list(extract_maps([photo], "rbd", {"max_side": 80}))  # it is one of its parameters


def test_parameters_reach_the_method(photo, seen):
    one, half = (extract_map(Job(photo, "rbd", {"sigma": sigma}, True, 0)) for sigma in (1.0, 0.5))
    np.testing.assert_allclose(half, one / 2)


def test_the_map_is_the_methods_own(photo, disc):
    (saliency,) = extract_maps([photo], "rbd", {}, whole=False)
    np.testing.assert_array_equal(saliency, METHODS["rbd"](disc[0]))
    (reduced,) = extract_maps([photo], "rbd", {"max_side": 80}, whole=False)
    np.testing.assert_array_equal(reduced, METHODS["rbd"](disc[0], max_side=80, size=(60, 80)))


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_any_number_of_workers_makes_the_same_maps(photo, tmp_path, disc, workers):
    """Also more than there are images."""
    (tmp_path / "broken.png").write_bytes(b"no image")
    files = [photo, tmp_path / "broken.png", photo]
    maps = list(extract_maps(files, "mc", {}, workers=workers))
    assert "broken.png" in str(maps.pop(1)) and len(maps) == 2
    for saliency in maps:
        np.testing.assert_array_equal(saliency, METHODS["mc"](disc[0]))


def test_an_unknown_parameter_stops_before_any_work():
    with pytest.raises(UsageError, match="rbd has no parameter mu; it has "):
        list(extract_maps(["nowhere.png"], "rbd", {"mu": 1}))


def test_a_failing_image_is_named(photo, monkeypatch):
    def fails(image, max_side, size):
        raise ValueError("no superpixels")

    monkeypatch.setattr("usod.handcrafted.METHODS", {"rbd": fails})
    with pytest.raises(UsodError, match=r"photo\.png: rbd fails: no superpixels"):
        extract_map(Job(photo, "rbd", {}, True, 0))
    with pytest.raises(UsodError, match=r"nowhere\.png: no such file"):
        extract_map(Job("nowhere.png", "rbd", {}, True, 0))


@pytest.mark.parametrize(("code", "kept"), [("as it was", "1 of 2 maps are there"), ("changed", "")])
def test_maps_of_a_run_that_did_not_end_are_kept_while_the_code_is_the_same(tmp_path, monkeypatch, capsys, code, kept):
    noise = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    for number, image in enumerate(noise):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    index, out = tmp_path / "index.csv", tmp_path / "maps.h5"
    app(["data", "index", str(tmp_path), "--out", str(index), "--quiet"], standalone_mode=False)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[:300])
    for digest, fails in (("as it was", True), (code, False)):
        monkeypatch.setattr("usod.provenance.code_digest", lambda *_, digest=digest: digest)
        command = ["maps", "extract", "rbd", "--index", str(index), "--out", str(out)]
        with pytest.raises(UsodError, match="1 of 2 images failed") if fails else nullcontext():
            app(command, standalone_mode=False)
        (tmp_path / "1.png").write_bytes(whole)
    assert out.exists() and not out.with_name("maps.h5.partial").exists()
    told = capsys.readouterr().err
    assert kept in told if kept else "are there" not in told


def test_images_of_one_name_would_overwrite_one_another(tmp_path):
    (tmp_path / "a").mkdir()
    images = [str(tmp_path / "0.jpg"), str(tmp_path / "a/0.png")]
    with pytest.raises(UsageError, match="two images have the same name"):
        app(["maps", "extract", "rbd", *images, "--out", str(tmp_path / "out")], standalone_mode=False)
