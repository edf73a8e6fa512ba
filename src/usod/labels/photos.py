"""The images that labels are about: their ids, names and sizes as other tools will see them."""

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from usod.data.images import image_size, orientation, read_image
from usod.data.index import image_paths
from usod.data.pairing import find_dataset
from usod.data.places import places_of, png_places
from usod.data.tree import AVIF_SUFFIXES, HEIF_SUFFIXES
from usod.files import atomic_path, explained

# What turns the stored pixels upright, by EXIF orientation (EXIF 2.32, tag 274).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Photo:
    """One image.

    Attributes
    ----------
    id : its id in usod
    path : its file
    name : its path below the folder of all images, with / and ending
    place : the same without ending where that is unique, else with it: for files that are named like the image
    """

    id: str
    path: Path
    name: str
    place: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) upright, from the header alone."""
        return image_size(self.path)

    @property
    def turned(self) -> bool:
        """Whether EXIF turns or mirrors the stored pixels: tools that ignore EXIF see another image."""
        return orientation(self.path) in UPRIGHT

    @property
    def file(self) -> str:
        """The name of a copy: `place` with the image's ending, or .jpg where the copy is made anew."""
        suffix = ".jpg" if self.path.suffix.lower() in HEIF_SUFFIXES | AVIF_SUFFIXES else self.path.suffix
        return f"{self.place}{suffix}"


def photos_of(folders: Mapping[str, Path], index: Path | None = None) -> list[Photo]:
    """The images of folders, under the ids that the workflow gives them, or those of an index.

    Parameters
    ----------
    folders : "" -> any data set or tree of images; of several that are joined (`usod.data.joined`) name -> folder
    index : index.csv of these folders; without any folder, names are relative to the deepest that holds all images

    Raises
    ------
    UsageError
        If there is no such folder.
    UsodError
        If there are no images, or an image of the index lies in none of the folders.
    """
    found: dict[str, Path] = {}
    if index is None:
        for name, folder in folders.items():
            before = f"{name}/" if name else ""
            found |= {f"{before}{item.id}": item.image for item in find_dataset(folder).items}
    else:
        found = image_paths(index)
    names, places = places_of(found, folders), png_places(found, folders)
    return [
        Photo(key, image, names[key].as_posix(), places[key].with_suffix("").as_posix()) for key, image in found.items()
    ]


def place_image(photo: Photo, target: Path, how: str) -> None:
    """Put an image where a tool looks for it, `how`: "link" or "copy".

    Where EXIF turns it, or it is HEIC or AVIF, which few tools read, an upright copy is written instead.
    """
    if photo.turned or photo.path.suffix.lower() != target.suffix.lower():
        picture = Image.fromarray(read_image(photo.path))
        kind = Image.registered_extensions()[target.suffix.lower()]
        with atomic_path(target) as temporary:
            picture.save(temporary, format=kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    elif how == "copy":
        with atomic_path(target) as temporary:
            temporary.write_bytes(photo.path.read_bytes())
    else:
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.path.abspath(photo.path))  # noqa: PTH100


def upright(mask: np.ndarray, turned: int) -> np.ndarray:
    """A mask of the stored pixels, turned as the EXIF orientation `turned` says."""
    if turned not in UPRIGHT:
        return mask
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).transpose(UPRIGHT[turned])).astype(bool)


class Names:
    """Finds images by what other tools call them.

    A name is an id, a path below the images' folder with or without ending, the end of one, or a file name that is
    there once; what a tool put before it (folders, a URL) does not count.
    """

    def __init__(self, photos: Sequence[Photo]):
        self._exact: dict[str, Photo] = {}
        for spelling in ("id", "place", "name"):  # the last wins: a name with its ending says most
            self._exact |= {_plain(getattr(photo, spelling)): photo for photo in photos}
        self._ends: dict[str, Photo] = {}
        ends: Counter[str] = Counter()
        for photo in photos:
            spellings = {_plain(text) for text in (photo.id, photo.place, photo.name)}
            for end in {end for text in spellings for end in _ends(text)}:
                ends[end] += 1
                self._ends[end] = photo
        self._ends = {end: photo for end, photo in self._ends.items() if ends[end] == 1}

    def find(self, name: str) -> Photo | None:
        """The image of a name; None where there is none, or several could be meant."""
        name = _plain(name)
        for text in (name, str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).name else name):
            if text in self._exact:
                return self._exact[text]
            for end in _ends(text):
                if found := self._exact.get(end) or self._ends.get(end):
                    return found
        return None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\\", "/")).strip("/")


def _ends(path: str) -> list[str]:
    """a/b/c: itself, b/c, c."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]
