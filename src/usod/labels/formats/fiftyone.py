"""A folder for FiftyOne's COCODetectionDataset importer: labels.json, and the images in data/.

Its own FiftyOneDataset is a dump of database documents, which only FiftyOne can write.
"""

from collections.abc import Iterable
from pathlib import Path

from usod.labels.formats import coco
from usod.labels.formats.base import ImageFiles, Options
from usod.labels.instances import Labelled

IMAGE_FILES: ImageFiles = "link"
read = coco.read


def write(images: Iterable[Labelled], folder: Path, options: Options) -> None:
    """Write the folder (see `usod.labels.formats.coco.write`)."""
    coco.write(images, folder, options, "labels.json", "data")
