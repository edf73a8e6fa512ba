"""Where images lie below the folder that they were found in: what is made of them is named and placed alike."""

import os
from collections.abc import Mapping
from pathlib import Path

from usod.data.tree import png_names
from usod.errors import UsodError


def places_of(images: Mapping[str, Path], folders: Mapping[str, Path]) -> dict[str, Path]:
    """id -> the image's path below the folder of all.

    Parameters
    ----------
    images : id -> file
    folders : "" -> the folder, as the index was made of it; of joined data sets (`usod.data.joined`) name -> folder,
        each becoming a folder of its name. Empty: the deepest folder that holds all images.

    Raises
    ------
    UsodError
        If an image lies outside of its folder, or is of a data set without one.
    """
    if not folders:
        folders = {"": Path(os.path.commonpath([_absolute(image.parent) for image in images.values()]))}
    places = {}
    for key, image in images.items():
        name = "" if "" in folders else key.partition("/")[0]
        if name not in folders:
            raise UsodError(f"--part: has no folder for {key}; give {name}=FOLDER")
        try:
            places[key] = Path(name, _absolute(image).relative_to(_absolute(folders[name])))
        except ValueError as error:
            option = f"--part {name}={folders[name]}" if name else f"--root {folders[name]}"
            raise UsodError(f"{option}: {error}; give the folder that the index was made of") from None
    return places


def png_places(images: Mapping[str, Path], folders: Mapping[str, Path]) -> dict[str, Path]:
    """The same, of the PNG file that is made of each image (`usod.data.tree.png_names`)."""
    places = places_of(images, folders)
    names = png_names(places.values())
    return {key: Path(names[place]) for key, place in places.items()}


def _absolute(path: Path) -> Path:
    """Without `..`; links stay as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100
