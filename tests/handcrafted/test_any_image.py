"""What every registered detector promises of any image, however odd."""

import numpy as np
import pytest

from usod.handcrafted import METHODS

pytestmark = pytest.mark.filterwarnings("error")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def grey() -> np.ndarray:
    ramp = np.add.outer(np.arange(48), 3 * np.arange(64)).astype(np.uint8)
    return np.repeat(ramp[..., None], 3, axis=2)


def bordered(width: int) -> np.ndarray:
    """A photograph-like disc on a gradient, with a black border of this width."""
    rows, cols = np.mgrid[:60, :80]
    inside = (rows - 30) ** 2 + (cols - 38) ** 2 < 14**2
    image = np.where(inside[..., None], (210, 50, 40), (90, 110, 130) + rows[..., None] // 2).astype(np.uint8)
    return np.pad(image, ((width, width), (width, width), (0, 0)))


IMAGES = {
    "1x1": noise(1, 1),
    "1x7": noise(1, 7),
    "5x1": noise(5, 1),
    "2x2": noise(2, 2),
    "3x3": noise(3, 3),
    "grey": grey(),
    "black": plain(40, 50, 0),
    "white": plain(40, 50, 255),
    "one-pixel border": bordered(1),
    "frame": bordered(9),
    "8x600": noise(8, 600),
    "600x8": np.ascontiguousarray(grey()[:8].repeat(10, axis=1)[:, :600].swapaxes(0, 1)),
    "noise": noise(60, 80),
    "two colours": np.where(np.arange(64)[:, None, None] < 30, plain(64, 48, 0), plain(64, 48, 255)),
    "one odd pixel": np.where((np.arange(50 * 40) == 777).reshape(50, 40, 1), plain(50, 40, 255), plain(50, 40, 90)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_any_image_has_a_map(method: str, image: np.ndarray) -> None:
    before = image.copy()
    saliency = METHODS[method](image)
    assert saliency.dtype == np.float32
    assert saliency.shape == image.shape[:2]
    assert np.isfinite(saliency).all()
    assert saliency.min() >= 0.0 and saliency.max() <= 1.0
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(METHODS[method](image), saliency)


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_stands_out_the_map_is_zero(method: str) -> None:
    for height, width, value in ((40, 50, 0), (40, 50, 90), (40, 50, 255), (1, 1, 9), (8, 8, 200), (3, 90, 120)):
        assert not METHODS[method](plain(height, width, value)).any()


@pytest.mark.parametrize("method", METHODS)
def test_views_and_read_only_arrays_are_images_too(method: str) -> None:
    image = bordered(1)
    turned = image[::-1, ::2]
    frozen = image.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(METHODS[method](turned), METHODS[method](turned.copy()))
    np.testing.assert_array_equal(METHODS[method](frozen), METHODS[method](image))


@pytest.mark.parametrize("method", ["mc", "mbd"])
def test_a_photograph_of_24_megapixels(method: str) -> None:
    rows, cols = np.ogrid[:4000, :6000]
    inside = (rows - 2000) ** 2 + (cols - 2500) ** 2 < 900**2
    image = np.where(inside[..., None], np.uint8([210, 50, 40]), np.uint8([90, 110, 130]))
    saliency = METHODS[method](image)
    assert saliency.shape == (4000, 6000) and saliency.dtype == np.float32
    assert saliency[inside].mean() > 0.9 and saliency[~inside].mean() < 0.1
