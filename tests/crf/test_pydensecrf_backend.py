"""The built-in backend against pydensecrf, the code that the papers' numbers were made with."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usod.crf import CRFParams, refine
from usod.errors import UsodError

DEEPUSPS = CRFParams()
A2S = CRFParams(bilateral_sxy=50, bilateral_srgb=5, iterations=10)
NARROW = CRFParams(gaussian_sxy=1, bilateral_sxy=7.5, bilateral_srgb=20, bilateral_compat=4)

# At most this share of pixels on the other side of 0.5.
FLIPS = 1e-5


def installed() -> None:
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed: pip install 'usod[crf]'")


def agreement(image: np.ndarray, salient: np.ndarray, params: CRFParams) -> tuple[float, int]:
    """The largest difference and the number of pixels on different sides of 0.5."""
    ours, theirs = refine(image, salient, params), refine(image, salient, params, backend="pydensecrf")
    return float(np.abs(ours - theirs).max()), int(((ours > 0.5) != (theirs > 0.5)).sum())


# 4 divides the first number of pixels only: pydensecrf works in blocks of four.
@pytest.mark.parametrize("shape", [(64, 64), (61, 83), (1, 50), (480, 640)])
@pytest.mark.parametrize("params", [DEEPUSPS, A2S, NARROW], ids=["deepusps", "a2s", "narrow"])
def test_agrees_on_made_up_images(shape, params):
    installed()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 120 + 60 * np.sin(x / 9)[..., None] + 40 * np.cos(y / 5)[..., None] + rng.normal(0, 6, (*shape, 3))
    difference, flips = agreement(
        image.clip(0, 255).astype(np.uint8), rng.random(shape, dtype=np.float32).clip(0.2, 0.8), params
    )
    assert difference < 1e-3
    assert flips <= FLIPS * shape[0] * shape[1]


def test_agrees_on_a_dark_image_whose_last_block_pydensecrf_fills_up_with_black():
    installed()
    rng, x = np.random.default_rng(0), np.arange(50)
    image = (64 + 60 * np.sin(x / 9)[:, None] + rng.normal(0, 6, (1, 50, 3))).clip(4, 255).astype(np.uint8)
    assert agreement(image, rng.random((1, 50), dtype=np.float32).clip(0.2, 0.8), DEEPUSPS)[0] < 1e-3


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(UsodError, match=r"pip install 'usod\[crf\]'"):
        refine(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 0.5, np.float32), backend="pydensecrf")


@pytest.mark.real_data
@pytest.mark.skipif("USOD_REAL_DATA" not in os.environ, reason="USOD_REAL_DATA is not set")
def test_agrees_on_photographs():
    installed()
    rng = np.random.default_rng(0)
    folder = Path(os.environ["USOD_REAL_DATA"]) / "data"
    paths = sorted(folder.glob("SED2/images/*"))[::20] + sorted(folder.glob("PASCAL-S/images/*"))[::85]
    shapes = [(160, 160), (203, 151), (320, 320), (97, 211), (432, 432)]
    flips = pixels = 0
    for k, path in enumerate(paths):
        height, width = shapes[k % len(shapes)]
        image = np.asarray(Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
        for params in (DEEPUSPS, A2S, NARROW):
            difference, flipped = agreement(image, rng.random((height, width), dtype=np.float32), params)
            assert difference < 1e-3, f"{path.name}, {height}x{width}, {params}"
            flips, pixels = flips + flipped, pixels + height * width
    assert flips <= FLIPS * pixels
