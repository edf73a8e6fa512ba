"""Where exported masks come from: a MapStore, a folder of masks or maps, a model."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from usod.data.images import read_graded_mask, read_image, resize_map
from usod.data.mapstore import MapStore
from usod.data.tree import image_files
from usod.errors import UsodError
from usod.labels.photos import Names, Photo


class Source(Protocol):
    """Maps of images.

    Attributes
    ----------
    photos : the images that have a map, in order of id
    unknown : names of maps whose image is not there
    """

    photos: list[Photo]
    unknown: list[str]

    def __iter__(self) -> Iterator[tuple[Photo, NDArray[np.float32]]]:
        """Each image with its map, (H, W) in [0, 1] at the image's own size."""
        ...


class _Stored:
    """The maps of a MapStore, resized bilinearly to their images."""

    def __init__(self, path: Path, photos: Sequence[Photo]):
        self._path = path
        known = {photo.id for photo in photos}
        with MapStore(path) as maps:
            self.photos = [photo for photo in photos if photo.id in maps]
            self.unknown = [key for key in maps.ids if key not in known]

    def __iter__(self) -> Iterator[tuple[Photo, NDArray[np.float32]]]:
        with MapStore(self._path) as maps:
            for photo in self.photos:
                yield photo, resize_map(maps[photo.id], photo.size)


class _Folder:
    """Masks or maps as image files, named like the ids or placed like the images; those of another size are resized."""

    def __init__(self, path: Path, photos: Sequence[Photo]):
        names = Names(photos)
        files = {file: names.find(file.relative_to(path).with_suffix("").as_posix()) for file in image_files(path)}
        claims = Counter(photo.id for photo in files.values() if photo)
        if twice := [photo for photo in photos if claims[photo.id] > 1]:
            of_it = [str(file) for file, photo in files.items() if photo == twice[0]]
            raise UsodError(f"{of_it[0]} and {of_it[1]}: both are named like the image {twice[0].name}; keep one")
        self._of = {photo.id: file for file, photo in files.items() if photo}
        self.photos = [photo for photo in photos if photo.id in self._of]
        self.unknown = [str(file.relative_to(path)) for file, photo in files.items() if photo is None]

    def __iter__(self) -> Iterator[tuple[Photo, NDArray[np.float32]]]:
        for photo in self.photos:
            yield photo, resize_map(read_graded_mask(self._of[photo.id]), photo.size)


class _Predicted:
    """What a model says of the images, after its CRF where its file names one."""

    def __init__(self, path: Path, photos: Sequence[Photo], device: str):
        from usod.inference.predict import Model  # PyTorch takes seconds, and masks do not need it

        self._model = Model(path, device)
        self.photos = list(photos)
        self.unknown: list[str] = []

    def __iter__(self) -> Iterator[tuple[Photo, NDArray[np.float32]]]:
        for photo in self.photos:
            yield photo, self._model.predict(read_image(photo.path))


def open_source(path: Path, photos: Sequence[Photo], device: str = "auto") -> Source:
    """The maps of some images.

    Parameters
    ----------
    path : MapStore (.h5), a folder of masks or maps, or a model (.safetensors)

    Raises
    ------
    UsodError
        If there is no such file or folder, or none of its maps is of these images.
    """
    if not path.exists():
        raise UsodError(f"{path}: no such file or folder; give a MapStore (.h5), a folder of masks, or a model")
    source: Source
    if path.is_dir():
        source = _Folder(path, photos)
    elif path.suffix == ".safetensors":
        source = _Predicted(path, photos, device)
    else:
        source = _Stored(path, photos)
    if not source.photos:
        example = f" (e.g. map {source.unknown[0]}, image {photos[0].name})" if source.unknown else ""
        raise UsodError(
            f"{path}: none of its maps has the name of an image{example}; give the images they were made of"
        )
    return source
