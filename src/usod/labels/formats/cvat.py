"""CVAT for images 1.1: annotations.xml with masks or polygons."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import numpy as np
from numpy.typing import NDArray

from usod.errors import UsodError
from usod.files import atomic_path
from usod.labels import rle
from usod.labels.formats.base import Found, ImageFiles, Options, Size, place, told, united, wanted
from usod.labels.instances import Instance, Labelled
from usod.labels.polygons import polygons, rasterise

IMAGE_FILES: ImageFiles = "none"
FILE = "annotations.xml"
_OTHER_SHAPES = ("box", "ellipse", "polyline", "points", "cuboid", "skeleton")


def write(images: Iterable[Labelled], folder: Path, options: Options) -> None:
    """Write annotations.xml, image by image: <mask> shapes, or <polygon> with the parts of one object in one group."""
    with atomic_path(folder / FILE) as temporary, temporary.open("w", encoding="utf-8") as file:
        xml = XMLGenerator(file, "utf-8", short_empty_elements=True)
        xml.startDocument()
        xml.startElement("annotations", AttributesImpl({}))
        _element(xml, "version", "1.1")
        for name in ("meta", "task", "labels", "label"):
            xml.startElement(name, AttributesImpl({}))
        _element(xml, "name", options.label)
        xml.startElement("attributes", AttributesImpl({}))
        for name in ("attributes", "label", "labels", "task", "meta"):
            xml.endElement(name)
        for number, image in enumerate(images):
            place(image, folder / "images", options)
            name = image.photo.file if options.image_files != "none" else image.photo.name
            height, width = map(str, image.size)
            xml.characters("\n")
            said = {"id": str(number), "name": name, "width": width, "height": height}
            xml.startElement("image", AttributesImpl(said))
            for group, instance in enumerate(image.instances, 1):
                for shape, values in _shapes(instance, options):
                    said = {"label": options.label, "source": "auto", "occluded": "0", "z_order": "0"}
                    grouped = {"group_id": str(group)} if shape == "polygon" else {}
                    xml.startElement(shape, AttributesImpl(said | values | grouped))
                    xml.endElement(shape)
            xml.endElement("image")
        xml.endElement("annotations")
        xml.endDocument()


def _element(xml: XMLGenerator, name: str, text: str) -> None:
    xml.startElement(name, AttributesImpl({}))
    xml.characters(text)
    xml.endElement(name)


def _shapes(instance: Instance, options: Options) -> Iterator[tuple[str, dict[str, str]]]:
    if options.polygons:
        for ring in polygons(instance.crop, "edges", options.simplify):
            points = (ring + instance.corner).tolist()
            yield "polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in points)}
    else:
        box = dict(zip(("left", "top", "width", "height"), map(str, instance.box), strict=True))
        yield "mask", {"rle": ", ".join(map(str, rle.counts(instance.crop.ravel())))} | box


def read(path: Path, classes: frozenset[str]) -> Iterator[Found]:
    """The images of an annotations.xml, or of all in a folder; boxes, lines and points are left out.

    Raises
    ------
    UsodError
        If a file is no XML or lacks what CVAT's have.
    """
    for file in [path] if path.is_file() else sorted(path.rglob("*.xml")):
        with told(str(file), "CVAT for images 1.1"):
            for _, element in ElementTree.iterparse(file):
                if element.tag == "image":
                    yield _found(element, classes)
                    element.clear()


def _found(image: Any, classes: frozenset[str]) -> Found:
    size = (int(image.attrib["height"]), int(image.attrib["width"]))
    chosen = [shape for shape in image if wanted(shape.get("label"), classes)]
    shapes = [dict(shape.attrib) for shape in chosen if shape.tag in ("mask", "polygon")]
    left_out = Counter(shape.tag for shape in chosen if shape.tag in _OTHER_SHAPES)
    return Found(image.attrib["name"], size, partial(_draw, shapes), bool(shapes), left_out=left_out or None)


def _draw(shapes: list[dict[str, str]], size: Size) -> NDArray[np.bool_]:
    rings, whole = [], np.zeros(size, bool)
    for shape in shapes:
        if "points" in shape:
            rings.append(np.array([pair.split(",") for pair in shape["points"].split(";")], float))
            continue
        left, top, width, height = (int(float(shape[key])) for key in ("left", "top", "width", "height"))
        crop = rle.from_counts([int(count) for count in shape["rle"].split(",")])
        if crop.size != width * height:
            raise UsodError(f"a mask of CVAT has {crop.size} pixels, its box {width}x{height}")
        whole[top : top + height, left : left + width] |= crop.reshape(height, width)
    return united([whole, rasterise(rings, size)], size)
