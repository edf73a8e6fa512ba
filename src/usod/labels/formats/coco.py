"""COCO instances: run lengths or polygons, in annotations/instances_default.json, where CVAT and Datumaro look."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usod.files import write_text
from usod.labels import rle
from usod.labels.formats.base import Found, ImageFiles, Options, Size, kept_id, place, read_json, told, united, wanted
from usod.labels.instances import Instance, Labelled
from usod.labels.polygons import polygons, rasterise

IMAGE_FILES: ImageFiles = "none"


def write(
    images: Iterable[Labelled],
    folder: Path,
    options: Options,
    file: str = "annotations/instances_default.json",
    beside: str = "images",
) -> None:
    """Write the images with their objects; an image without objects has an entry and no annotation.

    `segmentation` is a compressed RLE, or a list with a polygon for each part of the object. A COCO polygon has no
    holes: they are joined to its line (`usod.labels.polygons`). `score` and `usod_id` are keys of ours, which readers
    of COCO leave alone.

    Parameters
    ----------
    file, beside : the JSON file and the folder of the images, below `folder`
    """
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        placed = options.image_files != "none"
        place(image, folder / beside, options)
        name = image.photo.file if placed else image.photo.name
        height, width = image.size
        pictures.append({"id": number, "file_name": name, "height": height, "width": width, "usod_id": image.photo.id})
        for instance in image.instances:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": _segmentation(instance, image.size, options),
                    "area": int(instance.crop.sum()),
                    "bbox": list(instance.box),
                    "iscrowd": 0,
                    "score": round(instance.score, 6),
                }
            )
    content = {
        "info": {"description": "made by usod labels export"},
        "licenses": [],
        "categories": [{"id": 1, "name": options.label, "supercategory": ""}],
        "images": pictures,
        "annotations": annotations,
    }
    write_text(folder / file, json.dumps(content))


def _segmentation(instance: Instance, size: Size, options: Options) -> Any:
    if not options.polygons:
        return rle.to_coco(instance.whole(size))
    return [(ring + instance.corner).ravel().tolist() for ring in polygons(instance.crop, "edges", options.simplify)]


def read(path: Path, classes: frozenset[str]) -> Iterator[Found]:
    """The images of a COCO file, or of all in a folder; boxes without a segmentation are left out.

    Raises
    ------
    UsodError
        If a file lacks what COCO's have.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*.json") if is_coco(read_json(file)))
    for file in files:
        content = read_json(file)
        with told(str(file), "COCO instances"):
            yield from _images(content, classes)


def _images(content: Any, classes: frozenset[str]) -> Iterator[Found]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    of_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if wanted(names.get(annotation["category_id"]), classes):
            of_image[annotation["image_id"]].append(annotation)
    for image in content["images"]:
        shapes = [a["segmentation"] for a in of_image[image["id"]] if a.get("segmentation")]
        boxes = len(of_image[image["id"]]) - len(shapes)
        yield Found(
            name=str(image["file_name"]),
            size=(int(image["height"]), int(image["width"])) if image.get("height") else None,
            draw=partial(_draw, shapes),
            labelled=bool(shapes),
            id=kept_id(image),
            left_out=Counter({"box": boxes}) if boxes else None,
        )


def is_coco(content: Any) -> bool:
    """Whether the content of a JSON file is COCO's."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def _draw(shapes: list[Any], size: Size) -> NDArray[np.bool_]:
    masks = [rle.from_coco(shape) for shape in shapes if isinstance(shape, dict)]
    lists = [ring for shape in shapes if not isinstance(shape, dict) for ring in shape]
    rings = [np.array(ring, float).reshape(-1, 2) for ring in lists]
    return united([*masks, rasterise(rings, size)], size)
