"""Label Studio: tasks with predictions, as a JSON file to import, and the labelling configuration that fits them."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from usod.data.tree import IMAGE_SUFFIXES
from usod.files import atomic_path, write_text
from usod.labels import rle
from usod.labels.formats.base import Found, ImageFiles, Options, Size, kept_id, place, read_json, told, united, wanted
from usod.labels.instances import Instance, Labelled
from usod.labels.polygons import polygons, rasterise

IMAGE_FILES: ImageFiles = "none"
BRUSH, POLYGON, IMAGE = "brush", "polygon", "image"
"""Names of the tags of the labelling configuration: `from_name` and `to_name` of the regions."""
_UPLOADED = re.compile(r"(^|/)[0-9a-f]{8}-(?=[^/]+$)")
"""What Label Studio puts before the name of a file that is uploaded to it."""


def write(images: Iterable[Labelled], folder: Path, options: Options) -> None:
    """Write tasks.json and labelling.xml.

    Each task has one prediction, with a region per object (brush) or per polygon (coordinates in percent), and the
    scores of each and of all. `data.usod_id` comes back with an export. An image without objects has a
    prediction without regions.
    """
    tool = "PolygonLabels" if options.polygons else "BrushLabels"
    name = POLYGON if options.polygons else BRUSH
    with atomic_path(folder / "tasks.json") as temporary, temporary.open("w", encoding="utf-8") as file:
        for number, image in enumerate(images):
            place(image, folder / "images", options)
            file.write(("[" if number == 0 else ",") + "\n" + json.dumps(_task(image, name, options)))
        file.write("\n]\n")
    write_text(
        folder / "labelling.xml",
        f'<View>\n  <Image name="{IMAGE}" value="$image" zoom="true"/>\n  <{tool} name="{name}" toName="{IMAGE}">\n'
        f"    <Label value={quoteattr(options.label)}/>\n  </{tool}>\n</View>\n",
    )


def _task(image: Labelled, name: str, options: Options) -> dict[str, Any]:
    regions: list[dict[str, Any]] = []
    for instance in image.instances:
        for value in _values(instance, image.size, options):
            regions.append(
                {
                    "id": f"r{len(regions)}",
                    "type": f"{name}labels",
                    "from_name": name,
                    "to_name": IMAGE,
                    "original_width": image.size[1],
                    "original_height": image.size[0],
                    "image_rotation": 0,
                    "score": round(instance.score, 6),
                    "value": value | {f"{name}labels": [options.label]},
                }
            )
    prediction = {"model_version": "usod", "score": round(image.score, 6), "result": regions}
    placed = image.photo.file if options.image_files != "none" else image.photo.name
    data = {"image": options.image_url + quote(placed), "usod_id": image.photo.id}
    return {"data": data, "predictions": [prediction]}


def _values(instance: Instance, size: Size, options: Options) -> Iterator[dict[str, Any]]:
    if not options.polygons:
        yield {"format": "rle", "rle": rle.to_label_studio(instance.whole(size))}
        return
    for ring in polygons(instance.crop, "edges", options.simplify):
        percent = (ring + instance.corner) * 100 / size[::-1]
        yield {"points": percent.tolist(), "closed": True}


def is_label_studio(content: Any) -> bool:
    """Whether the content of a JSON file is Label Studio's."""
    return isinstance(content, list) and all(isinstance(task, dict) and "data" in task for task in content)


def read(path: Path, classes: frozenset[str]) -> Iterator[Found]:
    """The images of an export in the format JSON: of each the last annotation that was not cancelled.

    Predictions are nobody's correction and are not read. An annotation without regions was submitted so:
    nothing is there.

    Raises
    ------
    UsodError
        If a task or region lacks what Label Studio's have.
    """
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*.json") if is_label_studio(read_json(f)))
    for file in files:
        for task in read_json(file):
            with told(str(file), "Label Studio's format JSON"):
                yield _found(task, classes)


def _found(task: dict[str, Any], classes: frozenset[str]) -> Found:
    done = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
    done.sort(key=lambda each: str(each.get("updated_at", "")))
    regions = done[-1]["result"] if done else []
    data = task["data"]
    shapes, left_out = [], Counter[str]()
    size = None
    for region in regions:
        kind = region.get("type", "")
        if "original_width" in region:
            size = (int(region["original_height"]), int(region["original_width"]))
        if kind.removesuffix("labels") not in (BRUSH, POLYGON):
            left_out[kind.removesuffix("labels") or "region"] += 1
        elif any(wanted(name, classes) for name in region["value"].get(kind, [None])):
            shapes.append(region["value"])
    return Found(
        name=_name(_shown(data)),
        size=size,
        draw=partial(_draw, shapes),
        labelled=bool(done),
        id=kept_id(data),
        left_out=left_out or None,
    )


def _shown(data: dict[str, Any]) -> str:
    """The address of the image of a task, which may have texts beside it."""
    if isinstance(data.get("image"), str):
        return data["image"]
    for text in data.values():
        if isinstance(text, str) and PurePosixPath(_name(text)).suffix.lower() in IMAGE_SUFFIXES:
            return text
    raise KeyError("image")


def _name(url: str) -> str:
    """The image's path in a URL, a path, or the `d` of local files; without the digits of an upload."""
    parts = urlsplit(url)
    local = parse_qs(parts.query).get("d")
    name = local[0] if local else unquote(parts.path)
    return _UPLOADED.sub(r"\1", name) if "upload/" in name else name


def _draw(shapes: list[dict[str, Any]], size: Size) -> NDArray[np.bool_]:
    rings = [np.array(shape["points"], float) * size[::-1] / 100 for shape in shapes if "points" in shape]
    masks = [rle.from_label_studio(shape["rle"], size) for shape in shapes if "rle" in shape]
    return united([*masks, rasterise(rings, size)], size)
