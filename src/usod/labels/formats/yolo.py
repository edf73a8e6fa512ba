"""YOLO segmentation, as Ultralytics reads it: data.yaml, images/, and a text file of polygons for each in labels/."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from usod.data.tree import image_files
from usod.errors import UsodError
from usod.files import write_text
from usod.labels.formats.base import Found, ImageFiles, Options, Size, place, told, wanted
from usod.labels.instances import Labelled
from usod.labels.polygons import Ring, polygons, rasterise
from usod.settings.sections import read_yaml

IMAGE_FILES: ImageFiles = "link"


def write(images: Iterable[Labelled], folder: Path, options: Options) -> None:
    """Write the folder. A line holds one polygon, so each connected component has a line, with or without instances.

    Points are at the centres of pixels: Ultralytics rounds them down and draws lines through those pixels
    (`usod.labels.polygons`). An empty mask is an empty text file. The split is left to the user: `val` is `train`.
    """
    for image in images:
        place(image, folder / "images", options)
        lines = []
        for instance in image.instances:
            for ring in polygons(instance.crop, "centres", options.simplify):
                shares = (ring + instance.corner + 0.5) / image.size[::-1]
                lines.append("0 " + " ".join(f"{value:.8f}".rstrip("0") for value in shares.ravel()) + "\n")
        write_text(folder / _labels_of(PurePosixPath("images", image.photo.file)), "".join(lines))
    write_text(folder / "data.yaml", yaml.safe_dump({"train": "images", "val": "images", "names": {0: options.label}}))


def read(path: Path, classes: frozenset[str]) -> Iterator[Found]:
    """The images of a folder with labels/; lines of boxes are left out.

    Raises
    ------
    UsodError
        If a line holds no polygon, or its class has no name where classes are asked for.
    """
    folder = path if path.is_dir() else path.parent
    names = _names(folder)
    files = sorted(file for file in folder.rglob("*.txt") if "labels" in file.relative_to(folder).parts[:-1])
    images = (PurePosixPath(file.relative_to(folder).as_posix()) for file in image_files(folder))
    of = {_labels_of(image): image for image in images if "images" in image.parent.parts}
    for file in files:
        labels = PurePosixPath(file.relative_to(folder).as_posix())
        image = of.get(labels) or _renamed(labels, "labels", "images").with_suffix(".jpg")
        rings, boxes = _rings(file, names, classes)
        yield Found(
            image.as_posix(), None, partial(_draw, rings), bool(rings), left_out={"box": boxes} if boxes else None
        )


def _labels_of(image: PurePosixPath) -> PurePosixPath:
    """Where Ultralytics looks for the labels of an image: of its folders the last that is called images is labels."""
    return _renamed(image, "images", "labels").with_suffix(".txt")


def _renamed(path: PurePosixPath, old: str, new: str) -> PurePosixPath:
    parts = list(path.parts)
    parts[len(parts) - 1 - parts[::-1].index(old)] = new
    return PurePosixPath(*parts)


def _names(folder: Path) -> dict[int, str]:
    file = next((folder / name for name in ("data.yaml", "dataset.yaml") if (folder / name).is_file()), None)
    names: Any = read_yaml(file).get("names", {}) if file else {}
    with told(str(file), "a list of names, or numbers with names"):
        return dict(enumerate(names)) if isinstance(names, list) else {int(k): str(name) for k, name in names.items()}


def _rings(file: Path, names: dict[int, str], classes: frozenset[str]) -> tuple[list[Ring], int]:
    rings, boxes = [], 0
    with told(str(file), "lines of a class and a polygon each"):
        for line in filter(None, map(str.split, file.read_text(encoding="utf-8-sig").splitlines())):
            number, values = int(line[0]), np.array(line[1:], float)
            if len(values) % 2 or len(values) < 4 or not np.isfinite(values).all():
                raise ValueError(" ".join(line[:9]))
            if classes and number not in names:
                raise UsodError(f"data.yaml has no name for its class {number}, which --class needs; add it there")
            if wanted(names.get(number), classes):
                boxes += len(values) == 4
                rings += [values.reshape(-1, 2)] if len(values) > 4 else []
    return rings, boxes


def _draw(rings: list[Ring], size: Size) -> NDArray[np.bool_]:
    return rasterise([ring * size[::-1] for ring in rings], size, "centres")
