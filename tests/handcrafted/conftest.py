"""Images that the tests of several detectors use."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Pairs = Iterator[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def disc() -> tuple[np.ndarray, np.ndarray]:
    """A red disc on slightly noisy blue-grey, (120, 160, 3) uint8, and where it is, (120, 160) bool."""
    rows, cols = np.mgrid[:120, :160]
    inside = (rows - 60) ** 2 + (cols - 75) ** 2 < 28**2
    image = np.where(inside[..., None], (210, 50, 40), (90, 110, 130))
    noise = np.random.default_rng(0).integers(-4, 5, image.shape)
    return (image + noise).astype(np.uint8), inside


@pytest.fixture
def original_maps() -> Callable[..., Pairs]:
    """original_maps(dataset, method, count): images, and their maps in 0..1 by the method's authors' own code."""
    root = os.environ.get("USOD_REAL_DATA")
    if not root:
        pytest.skip("USOD_REAL_DATA is not set")

    def pairs(dataset: str, method: str, count: int) -> Pairs:
        folder = Path(root) / "data" / dataset
        stored = sorted((folder / f"{method}_original").glob("*.png"))
        for path in stored[:: max(1, len(stored) // count)][:count]:
            (photo,) = (folder / "images").glob(f"{path.stem}.*")
            with Image.open(photo) as image, Image.open(path) as original:
                yield np.asarray(image.convert("RGB")), np.asarray(original.convert("L")) / 255.0

    return pairs
