from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """Photographs with difficult names and masks: (folder of photos, folder of masks, name -> mask upright)."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("labels")
    masks: dict[str, np.ndarray] = {}
    yy, xx = np.mgrid[:40, :60]
    rings = (np.hypot(yy - 20, xx - 25) < 16) & (np.hypot(yy - 20, xx - 25) > 9)
    rings |= np.hypot(yy - 20, xx - 25) < 3  # an object within the hole of another
    rings[18:22, 45:52] = True
    rings[19, 47] = False  # two holes that touch at a corner
    rings[20, 48] = False
    masks["holes.png"] = rings
    masks["a b/schön.jpg"] = rng.random((30, 45)) > 0.7  # parts that touch at corners, single pixels
    masks["empty.png"] = np.zeros((20, 30), bool)
    masks["two/same.jpg"] = yy[:33, :21] > 10
    masks["two/same.webp"] = xx[:25, :35] > 20
    masks["turned.jpg"] = (yy > 3) & (yy < 30) & (xx > 5) & (xx < 20)  # upright 60 wide, 40 high
    for name, mask in masks.items():
        size = mask.shape[::-1] if name == "turned.jpg" else mask.shape
        photo = Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "turned.jpg" else 1
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        photo.save(root / "photos" / name, exif=exif)
        target = root / "masks" / (f"{name}.png" if "same" in name else str(Path(name).with_suffix(".png")))
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(target)
    return root / "photos", root / "masks", masks
