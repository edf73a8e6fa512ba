import hashlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, features

from usod.data import images
from usod.data.images import (
    image_size,
    inspect_image,
    read_graded_mask,
    read_image,
    read_mask,
    reduced_size,
    resize_image,
    resize_map,
    write_png,
)
from usod.errors import UsodError


def save(path, array, mode=None, **options):
    Image.fromarray(np.asarray(array), mode).save(path, **options)
    return path


# The 8 EXIF orientations, from the EXIF 2.3 table: what to do to the stored rows to see the scene upright.
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: a[::-1, ::-1],
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path, orientation):
    stored = np.random.default_rng(0).integers(0, 256, (4, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", stored, exif=exif)
    upright = UPRIGHT[orientation](stored)
    np.testing.assert_array_equal(read_image(path), upright)
    assert image_size(path) == upright.shape[:2]
    facts = inspect_image(path)
    assert (facts.height, facts.width) == upright.shape[:2]
    assert facts.oriented == (orientation != 1)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_mode_becomes_rgb(tmp_path):
    grey = save(tmp_path / "grey.png", np.array([[0, 128, 255]], np.uint8))
    assert read_image(grey).tolist() == [[[0] * 3, [128] * 3, [255] * 3]]
    deep = save(tmp_path / "deep.png", np.array([[0, 257 * 100, 65535, 255]], np.uint16))
    assert read_image(deep)[..., 0].tolist() == [[0, 100, 255, 1]]
    real = save(tmp_path / "real.tif", np.array([[0.0, 0.5, 1.0]], np.float32))
    assert read_image(real)[..., 0].tolist() == [[0, 128, 255]]
    alpha = np.array([[[255, 0, 0, 255], [10, 20, 30, 0], [0, 0, 255, 51]]], np.uint8)
    assert read_image(save(tmp_path / "rgba.png", alpha)).tolist() == [[[255, 0, 0], [255, 255, 255], [204, 204, 255]]]
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    assert read_image(tmp_path / "cmyk.tif")[0, 0].tolist() == [255, 0, 0]
    Image.new("1", (2, 1), 1).save(tmp_path / "bit.png")
    assert read_image(tmp_path / "bit.png")[0, 0].tolist() == [255] * 3
    palette = Image.new("P", (1, 1), 3)
    palette.putpalette([9, 9, 9] * 3 + [7, 8, 9])
    palette.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").tolist() == [[[7, 8, 9]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 1]], np.uint8), [False, True]),  # 0/1 masks look black and are not
        (np.array([[0, 255]], np.uint8), [False, True]),
        (np.array([[127, 128, 255]], np.uint8), [False, True, True]),  # 127/255 < .5 < 128/255
        (np.array([[0, 40000, 65535]], np.uint16), [False, True, True]),
        (np.array([[0, 127, 255]], np.uint16), [False, False, True]),  # 8-bit values in a 16-bit file
        (np.array([[[0, 0, 0], [255, 0, 0], [0, 0, 100]]], np.uint8), [False, True, False]),
        (np.array([[[9, 9, 9, 0], [0, 0, 0, 255]]], np.uint8), [False, True]),  # a cut-out of a black object
        (np.array([[[255, 255, 255, 255], [0, 0, 0, 255]]], np.uint8), [True, False]),  # alpha says nothing
        (np.zeros((1, 2), np.uint8), [False, False]),
    ],
)
def test_mask_formats(tmp_path, values, expected):
    assert read_mask(save(tmp_path / "m.png", values)).tolist() == [expected]


def test_mask_threshold_is_strict_and_palette_labels_count(tmp_path):
    graded = save(tmp_path / "g.png", np.array([[51, 52, 255]], np.uint8))  # 51/255 = 0.2 exactly
    assert read_mask(graded, 0.2).tolist() == [[False, True, True]]
    assert read_graded_mask(graded)[0, 0] == np.float32(0.2)
    labels = Image.fromarray(np.array([[0, 1, 5]], np.uint8), "P")
    labels.putpalette([0, 0, 0, 64, 0, 0, 0, 64, 0, 1, 1, 1, 2, 2, 2, 0, 0, 64])
    labels.save(tmp_path / "voc.png")
    assert read_mask(tmp_path / "voc.png").tolist() == [[False, True, True]]


def png_header(height, width):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_files_give_one_line_with_their_name(tmp_path):
    whole = save(tmp_path / "whole.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).read_bytes()
    broken = {
        "half.jpg": whole[: len(whole) // 2],
        "tail.jpg": whole[:-40],
        "text.png": b"not an image",
        "empty.png": b"",
        "bomb.png": png_header(10_000, 10_000),
        "larger_bomb.png": png_header(60_000, 60_000),
        "headless.png": png_header(8, 8),
    }
    for name, content in broken.items():
        path = tmp_path / name
        path.write_bytes(content)
        for reader in (read_image, read_mask, inspect_image):
            with pytest.raises(UsodError) as caught:
                reader(path)
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)
    for missing in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(UsodError, match=missing.name):
            read_image(missing)


def blocks():
    return np.kron(np.random.default_rng(0).integers(0, 256, (4, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.heic", "a.avif", "sent by phone.jpg"])
def test_heic_and_avif_are_read_upright_whatever_they_are_called(tmp_path, name):
    if name.endswith(".avif"):
        if not features.check("avif"):
            pytest.skip("this Pillow reads no AVIF")
    else:
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed").register_heif_opener()
    stored, exif = blocks(), Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / name
    save(path, stored, format="AVIF" if name.endswith(".avif") else "HEIF", quality=95, exif=exif.tobytes())
    assert np.abs(read_image(path).astype(int) - np.rot90(stored, -1)).mean() < 6
    facts = inspect_image(path)
    assert image_size(path) == (facts.height, facts.width) == (96, 64)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UsodError, match=name):
        read_image(path)


def test_pillow_heif_is_loaded_when_the_first_such_file_is_met(tmp_path):
    """In a process of its own: in this one another test may have loaded it."""
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    pillow_heif.from_pillow(Image.fromarray(blocks())).save(tmp_path / "a.heic")
    code = (
        "import sys; from usod.data.images import read_image\n"
        "assert 'pillow_heif' not in sys.modules; print(read_image(sys.argv[1]).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.heic"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(64, 96, 3)"


def test_heic_without_its_library_says_which(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    images._heif_registered.cache_clear()
    try:
        (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
        for reader in (inspect_image, read_image):
            with pytest.raises(UsodError, match=r"a\.jpg: is a HEIC file; .* pip install 'usod\[heif\]'"):
                reader(tmp_path / "a.jpg")
    finally:
        images._heif_registered.cache_clear()


def test_resizing_keeps_range_mean_and_constants():
    rng = np.random.default_rng(0)
    field = rng.random((40, 60)).astype(np.float32)
    small = resize_map(field, (20, 30))
    assert small.shape == (20, 30)
    assert small.dtype == np.float32
    assert abs(small.mean() - field.mean()) < 0.01
    assert small.std() < 0.8 * field.std()  # averaged, not sampled
    assert field.min() <= small.min() <= small.max() <= field.max()
    np.testing.assert_allclose(resize_map(np.full((5, 5), 0.3), (17, 11)), 0.3, rtol=1e-6)
    half = np.zeros((8, 8), bool)
    half[:, :4] = True
    np.testing.assert_array_equal(resize_map(half, (16, 16)) > 0.5, np.kron(half, np.ones((2, 2))) > 0)
    assert resize_image(np.full((6, 8, 3), 77, np.uint8), (3, 4)).tolist() == np.full((3, 4, 3), 77).tolist()


def test_a_smaller_image_is_a_mean_of_what_it_replaces():
    stripes = np.tile(np.array([0, 200], np.uint8)[None, :, None], (8, 4, 3))
    small = resize_image(stripes, (4, 4))
    assert small.shape == (4, 4, 3) and (np.abs(small[:, 1:-1].astype(int) - 100) <= 1).all()


def test_the_longer_side_is_what_is_limited():
    assert reduced_size((300, 600), 150) == (75, 150) and reduced_size((600, 300), 150) == (150, 75)
    assert reduced_size((30, 60), 150) == (30, 60) and reduced_size((3000, 1), 0) == (3000, 1)


def test_sixteen_bits_keep_their_exposure(tmp_path):
    """A dark photograph of 16 bits stays dark: 32768 of 65535 is 128 of 255, although nothing is brighter."""
    dark = save(tmp_path / "dark.png", np.array([[0, 32768]], np.uint16))
    assert read_image(dark)[..., 0].tolist() == [[0, 128]]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    """Pillow itself only warns up to twice its limit."""
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(UsodError, match="large.png: has more than"):
        read_image(save(tmp_path / "large.png", np.zeros((11, 10), np.uint8)))
    assert read_image(save(tmp_path / "fits.png", np.zeros((10, 10), np.uint8))).shape == (10, 10, 3)


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3), (7, 5, 4), (1, 1), (300, 1, 3)])
def test_written_pictures_are_read_as_they_were(tmp_path, shape, rng):
    picture = rng.integers(0, 256, shape, np.uint8)
    write_png(tmp_path / "a picture", picture)
    with Image.open(tmp_path / "a picture") as read:
        assert read.mode == {2: "L", 3: "RGB", 4: "RGBA"}[shape[2] if len(shape) == 3 else 2]
        np.testing.assert_array_equal(np.asarray(read), picture)
