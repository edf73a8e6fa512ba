"""All images of a data set with their maps, as a page that opens from disk.

A page from disk may not read other files but pictures and scripts. So the values of the images are a script beside it
(`images.js`), and the pictures two WebP files for each image: the photograph, and all maps one below the other. The
page itself loads the pictures of what is on the screen.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usod.data.index import load_masks, read_masks
from usod.data.listed import read_rows
from usod.data.mapstore import ImageStore, MapStore
from usod.data.parallel import parallel_map
from usod.errors import UsodError
from usod.files import explained, write_text
from usod.progress import progress
from usod.reporting.templates import render
from usod.reporting.thumbnails import mask_of, strip, thumbnail

PER_FOLDER = 500
"""Images whose pictures share a folder: file managers and network disks are slow with tens of thousands in one."""
CHUNK, CHUNKS = 50, 25
"""Images that a worker takes at a time, at least; and into how many parts all are divided, at most, unless that is less
than four for each worker. For each part all stores are opened, which takes longer the more images they hold."""
MASK, TRUTH = "mask", "ground truth"

ABOUT = {
    "doubt": "1 - agreement; of a single method, how much its labels still moved; 0 of corrected ones",
    "agreement": "soft intersection over union of the methods' labels, mean over their pairs",
    "movement": "mean absolute difference of the labels to those of the stage before",
    "undecided": "share of pixels on which the methods' mean is neither low nor high",
    "nothing": "how likely the image has no salient object",
    "corrected": "1: it has a human mask, which was learnt (corrections)",
    "area": "share of the image that the mask takes",
    "mae": "mean absolute error against the ground truth",
    "f_adaptive": "F (beta2 = 0.3) against the ground truth, at twice the mean of the map",
    "s_measure": "S-measure against the ground truth",
}
"""What the values mean that the workflow knows; any other column of numbers is shown under its name alone."""
# Of the tables that give values: what others say better.
_LEFT_OUT = {
    *("rank", "difference", "salient", "precision", "recall"),
    *("f_fixed", "f_mean", "f_max", "f_weighted", "e_mean", "e_max", "e_adaptive"),
}


@dataclass(frozen=True)
class Contents:
    """What a gallery shows.

    Parameters
    ----------
    name : of the data set
    images : ImageStore; its images are shown
    maps : title -> MapStore; the mask is made of the first
    binary : saliency (H, W) in [0, 1] -> mask (H, W) bool; a function of a module, as workers call it
    truth : masks.csv, if the ground truth is shown
    side : longest side of a small picture in pixels
    corrections : MapStore of human masks of some images, which are shown as the masks there
    """

    name: str
    images: Path
    maps: Mapping[str, Path]
    binary: Callable[[NDArray], NDArray]
    truth: Path | None = None
    side: int = 192
    corrections: Path | None = None

    @property
    def layers(self) -> list[str]:
        """Titles of the maps in the order in which they lie in a strip."""
        return [MASK, *self.maps, *([TRUTH] if self.truth else [])]


def make_gallery(
    contents: Contents,
    out: Path,
    values: Sequence[Path] = (),
    photographs: Mapping[str, Path] | None = None,
    masks: Mapping[str, Path] | None = None,
    workers: int = 1,
) -> None:
    """Write `index.html`, `images.js` and `pictures/` into a folder; the page last, when all is there.

    Parameters
    ----------
    values : CSV files with a column `id`; their columns of numbers can be sorted and filtered by
    photographs, masks : id -> the image's own file, and its mask at the same size, for enlarged views

    Raises
    ------
    UsodError
        If maps, masks or photographs of some images are missing, or a table cannot be read or has an image twice.
    """
    with ImageStore(contents.images) as store:
        ids, sizes = list(store.ids), store.original_size
    for path in contents.maps.values():
        with MapStore(path) as maps:
            maps.require(ids)
    table = read_values(values, ids)
    size = max(CHUNK, -(-len(ids) // max(CHUNKS, 4 * workers)))
    chunks = [(contents, out, start, ids[start : start + size]) for start in range(0, len(ids), size)]
    done = parallel_map(_write_pictures, chunks, workers, [__name__])
    areas = [area for found in progress(done, len(chunks), "making pictures", "batch") for area in found]
    table["area"] = areas
    document = {
        "name": contents.name,
        "side": contents.side,
        "perFolder": PER_FOLDER,
        "layers": contents.layers,
        "values": {key: ABOUT.get(key, "") for key in map(str, table)},
        "ids": ids,
        "sizes": [[int(width), int(height)] for height, width in sizes],
        "columns": {key: [_number(value) for value in table[key]] for key in table},
        "photographs": _places(photographs, ids, out),
        "masks": _places(masks, ids, out),
    }
    write_text(out / "images.js", f"const GALLERY = {json.dumps(document, separators=(',', ':'))};\n")
    write_text(out / "index.html", render("gallery", name=contents.name))


def read_values(tables: Sequence[Path], ids: Sequence[str]) -> pd.DataFrame:
    """The columns of numbers of several tables, for these images in their order; NaN where a table lacks one."""
    found = pd.DataFrame(index=pd.Index(ids))
    for path in tables:
        table = read_rows(path)
        if twice := list(table.index[table.index.duplicated()]):
            raise UsodError(f"{path}: has {twice[0]!r} twice; one row for each image")
        numbers = table.select_dtypes(["number", "bool"]).astype(float).dropna(axis="columns", how="all")
        for key in [key for key in numbers if key not in _LEFT_OUT and key not in found]:
            found[key] = numbers[key].reindex(found.index)
    return found


def picture_files(number: int) -> tuple[str, str]:
    """The photograph and the strip of maps of the image of this number, from the gallery's folder."""
    stem = f"pictures/{number // PER_FOLDER}/{number}"
    return f"{stem}.webp", f"{stem}-maps.webp"


def _write_pictures(chunk: tuple[Contents, Path, int, Sequence[str]]) -> list[float]:
    """Write the pictures of some images, from a number on; the areas of their masks, shares of the image."""
    contents, out, start, ids = chunk
    truth = _truth(contents.truth, ids) if contents.truth else {}
    stores = [MapStore(path) for path in contents.maps.values()]
    areas = []
    with ImageStore(contents.images) as images, ExitStack() as stack:
        human = stack.enter_context(MapStore(contents.corrections)) if contents.corrections else None
        for i, key in enumerate(ids):
            maps = [store[key] for store in stores]
            mask = mask_of(key, stores[0], contents.binary, human)
            areas.append(float(mask.mean()))
            original, side = images.original_size[start + i], contents.side
            pictures = (
                thumbnail(images[key], original, side),
                strip([mask, *maps, *([truth[key]] if truth else [])], original, side),
            )
            for name, content in zip(picture_files(start + i), pictures, strict=True):
                with explained(out / name):
                    (out / name).parent.mkdir(parents=True, exist_ok=True)
                    (out / name).write_bytes(content)
    for store in stores:
        store.close()
    return areas


def _truth(masks: Path, ids: Sequence[str]) -> dict[str, NDArray]:
    """id -> its mask; an image without one has grey in its place."""
    known = set(read_masks(masks)["id"])
    there = [key for key in ids if key in known]
    return {key: np.full((1, 1), 0.5) for key in ids} | dict(zip(there, load_masks(masks, there), strict=True))


def _number(value: Any) -> float | None:
    """For JSON, which has no NaN."""
    return round(float(value), 5) if math.isfinite(value) else None


def _places(files: Mapping[str, Path] | None, ids: Sequence[str], out: Path) -> dict[str, Any] | None:
    """A folder, from the gallery's, and the files below it."""
    if not files:
        return None
    paths = [os.path.abspath(files[key]) for key in ids]  # noqa: PTH100  (links stay as they are)
    folder = os.path.commonpath([Path(path).parent for path in paths])
    root = Path(os.path.relpath(folder, out.absolute())).as_posix()
    return {"folder": root, "files": [Path(os.path.relpath(path, folder)).as_posix() for path in paths]}
