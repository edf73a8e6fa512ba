"""PASCAL VOC segmentation, and the same without images and boxes as CVAT's "Segmentation mask 1.1"."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from usod.data.images import image_size
from usod.errors import UsodError
from usod.files import atomic_path, write_text
from usod.labels.formats.base import Found, ImageFiles, Options, Size, place, told, united
from usod.labels.instances import Labelled

IMAGE_FILES: ImageFiles = "link"
CLASSES, OBJECTS, LABELMAP = "SegmentationClass", "SegmentationObject", "labelmap.txt"
VOID = (224, 224, 192)
"""The colour of number 255: undecided, as the borders of VOC's own masks."""


def voc_colours() -> NDArray[np.uint8]:
    """VOC's palette: (256, 3) uint8. The bits of a number, from the lowest, are the highest of red, green and blue."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def write(images: Iterable[Labelled], folder: Path, options: Options) -> None:
    """Write VOC's folder: masks, lists, labelmap.txt, JPEGImages, and Annotations with the objects' boxes."""
    _write(images, folder, options, "train.txt", "JPEGImages")


def write_masks(images: Iterable[Labelled], folder: Path, options: Options) -> None:
    """Write the folder that CVAT takes as "Segmentation mask 1.1", to be packed as a zip file."""
    _write(images, folder, options, "default.txt", None)


def _write(
    images: Iterable[Labelled], folder: Path, options: Options, list_name: str, image_folder: str | None
) -> None:
    names = []
    for image in images:
        names.append(image.photo.place)
        if image_folder:
            place(image, folder / image_folder, options)
            write_text(folder / "Annotations" / f"{image.photo.place}.xml", _annotation(image, options))
        for kind in (CLASSES, OBJECTS):
            numbers = np.zeros(image.size, np.uint8)
            if kind == OBJECTS and len(image.instances) > 254:  # 255 is the void
                raise UsodError(
                    f"{image.photo.name}: has {len(image.instances)} objects, VOC has 254 colours; give --smallest"
                )
            for number, instance in enumerate(image.instances, 1):
                numbers[instance.whole(image.size)] = 1 if kind == CLASSES else number
            with atomic_path(folder / kind / f"{image.photo.place}.png") as temporary:
                _palette(numbers).save(temporary, format="png")
    write_text(folder / "ImageSets/Segmentation" / list_name, "".join(f"{name}\n" for name in names))
    red, green, blue = voc_colours()[1]
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", f"{options.label}:{red},{green},{blue}::"]
    write_text(folder / LABELMAP, "\n".join(lines) + "\n")


def _palette(numbers: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(numbers).convert("L")
    picture.putpalette(voc_colours().tobytes())
    return picture


def _annotation(image: Labelled, options: Options) -> str:
    """The XML of VOC's detection task; its boxes count from 1 and hold their last row and column."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = image.photo.file
    size = ElementTree.SubElement(root, "size")
    for key, value in zip(("width", "height", "depth"), (*image.size[::-1], 3), strict=True):
        ElementTree.SubElement(size, key).text = str(value)
    ElementTree.SubElement(root, "segmented").text = "1"
    for instance in image.instances:
        entry = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(entry, "name").text = options.label
        box = ElementTree.SubElement(entry, "bndbox")
        x, y, width, height = instance.box
        for key, value in (("xmin", x + 1), ("ymin", y + 1), ("xmax", x + width), ("ymax", y + height)):
            ElementTree.SubElement(box, key).text = str(value)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def read(path: Path, classes: frozenset[str]) -> Iterator[Found]:
    """The masks of SegmentationClass; where an image has none there, of SegmentationObject. Void is background.

    A mask that is all background says that nothing is there.

    Raises
    ------
    UsodError
        If a class is asked for, and labelmap.txt does not tell its colour.
    """
    folder = next((place.parent for place in sorted(path.rglob(CLASSES))), path)
    colours = _chosen_colours(folder, classes)
    files = {file.relative_to(folder / OBJECTS): file for file in (folder / OBJECTS).rglob("*.png") if not classes}
    files |= {file.relative_to(folder / CLASSES): file for file in (folder / CLASSES).rglob("*.png")}
    for name in sorted(files):
        yield Found(name.as_posix(), image_size(files[name]), partial(_draw, files[name], colours), True)


def _chosen_colours(folder: Path, classes: frozenset[str]) -> list[tuple[int, ...]] | None:
    """The colours that count; None: all but background and void."""
    if not classes:
        return None
    file = folder / LABELMAP
    lines = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else []
    rows = [line.split(":") for line in lines if line.strip() and not line.startswith("#")]
    with told(str(file), "a labelmap of colours"):
        found = {row[0]: tuple(map(int, row[1].split(","))) for row in rows if len(row) > 1 and row[1]}
    if missing := sorted(classes - found.keys()):
        raise UsodError(f"{file}: tells no colour of --class {missing[0]}; it has {', '.join(found) or 'none'}")
    return [found[name] for name in classes]


def _draw(file: Path, colours: list[tuple[int, ...]] | None, size: Size) -> NDArray[np.bool_]:
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    if colours is None:
        return united([pixels.any(2) & (pixels != VOID).any(2)], size)
    return united([(pixels == colour).all(2) for colour in colours], size)
