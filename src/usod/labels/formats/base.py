"""What every format has: a writer of images with their objects, a reader of masks by the names of their images."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from usod.errors import UsodError
from usod.labels.instances import Labelled
from usod.labels.photos import place_image

ImageFiles = Literal["none", "link", "copy"]
Size = tuple[int, int]
# A foreign file can be wrong in any place. SyntaxError: of XML, and of Pillow in a broken PNG.
_MALFORMED = (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError, SyntaxError, OSError)


@dataclass(frozen=True)
class Options:
    """How labels are written.

    Attributes
    ----------
    label : name of the one class
    polygons : polygons where the format has run lengths too
    simplify : tolerance of polygons in pixels; 0: exact
    image_files : what is put where the format has its images
    image_url : what Label Studio finds before an image's name
    """

    label: str = "salient"
    polygons: bool = False
    simplify: float = 0.0
    image_files: ImageFiles = "none"
    image_url: str = "/data/local-files/?d="


@dataclass
class Found:
    """What a file says of one image.

    Attributes
    ----------
    name : of the image, as the file has it
    size : (height, width) that the file states; None: it states none
    draw : size -> (H, W) bool, all objects united
    labelled : it has an object, or says in its own way that the image was looked at and has none
    id : its id in usod, where the file kept it
    left_out : kind -> number of annotations that are no masks, such as boxes
    """

    name: str
    size: Size | None
    draw: Callable[[Size], NDArray[np.bool_]]
    labelled: bool
    id: str | None = None
    left_out: dict[str, int] | None = None


class Format(Protocol):
    """A module of this package."""

    IMAGE_FILES: ImageFiles
    """What is put where the format has its images, unless told otherwise."""

    @staticmethod
    def write(images: Iterable[Labelled], folder: Path, options: Options) -> None: ...

    @staticmethod
    def read(path: Path, classes: frozenset[str]) -> Iterator[Found]: ...


def place(image: Labelled, folder: Path, options: Options) -> None:
    """Put the image's file into the folder of images, where that is asked for, under `Photo.file`."""
    if options.image_files != "none":
        place_image(image.photo, folder / image.photo.file, options.image_files)


@contextmanager
def told(where: str, what: str) -> Iterator[None]:
    """Around the reading of a foreign file: raise UsodError, which says where, if it is not `what` it should be."""
    try:
        yield
    except UsodError as error:
        raise UsodError(f"{where}: {error}") from error
    except _MALFORMED as error:
        raise UsodError(f"{where}: not {what} ({error!r}); export it again") from error


def wanted(name: str | None, classes: frozenset[str]) -> bool:
    """Whether annotations of a class are read: of any where none is named."""
    return not classes or name in classes


def kept_id(entry: Mapping[str, Any]) -> str | None:
    """The image's id in usod, which our exports write and tools hand on."""
    return str(entry["usod_id"]) if entry.get("usod_id") else None


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises UsodError where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsodError(f"{path}: cannot be read as JSON ({error}); export it again") from error


def united(masks: Iterable[NDArray[np.bool_]], size: Size) -> NDArray[np.bool_]:
    """The pixels of any mask. Raises UsodError where one has another size."""
    whole = np.zeros(size, bool)
    for mask in masks:
        if mask.shape != size:
            raise UsodError(f"a mask is {mask.shape[1]}x{mask.shape[0]}, its image {size[1]}x{size[0]}")
        whole |= mask
    return whole
