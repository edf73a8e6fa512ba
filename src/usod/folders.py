"""`--config images=FOLDER`: the folder of somebody's own images, and what its data set is called."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usod.errors import UsageError
from usod.settings.names import RESERVED, usable_name


def absolute(path: object) -> Path:
    """The whole path without `..` and `~`; links stay as they are."""
    return Path(os.path.normpath(Path(str(path)).expanduser().absolute()))


def require_folder(given: str, key: str, or_file: bool = False, hint: str = "") -> Path:
    """The path under a key of the configuration. Raises UsageError where there is no such folder (or file); its line
    ends with the hint."""
    path = Path(given)
    if path.is_dir() or (or_file and path.exists()):
        return path
    whole = "" if path.is_absolute() else f" ({absolute(path)})"
    what = "is a file, not a folder" if path.exists() else f"no folder{' or file' if or_file else ''}"
    raise UsageError(f"{key}: {what} {given!r}{whole}; correct the path, or start the workflow in another folder{hint}")


def below_here(folder: str) -> str:
    """The path as seen from the working folder where it lies below that: so the two can be moved together."""
    path = Path(folder)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"./{path}" if str(path).startswith("-") else str(path)


def images_folder(given: object) -> str:
    """The folder of `images=FOLDER` as a data set's root, a relative path as it is.

    Raises
    ------
    UsageError
        If it is none; the line has the user's word, the whole path and what to do.
    """
    if given is None or given == "" or isinstance(given, dict | list):
        raise UsageError("images=: give one folder of images: images=/path/to/folder")
    path = Path(str(given)).expanduser()
    whole = absolute(path)
    if path.is_dir():
        own = below_here(str(path))
        return "./demo" if own == "demo" else own  # as a root, demo means the bundled scenes
    if path.exists():
        raise UsageError(f"images={given}: {whole} is a file; give its folder: images={path.parent}")
    remedy = "give the folder that holds the images"
    if not isinstance(given, str):
        remedy = f"it was read as a number: write images=./{given}"
    elif not path.is_absolute():
        remedy = "a relative path starts in the working folder, which --directory changes: give the whole path"
        typed_in = Path(os.environ.get("PWD", ""), path)
        if typed_in.is_absolute() and typed_in.is_dir():
            remedy += f", images={os.path.normpath(typed_in)}"
    raise UsageError(f"images={given}: no folder {whole}; {remedy}")


def dataset_of_folder(root: str, others: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and section of the data set of a folder of images.

    It is called after the folder. Of `others`, the user's own `datasets`, the one with this root is the data set
    itself, and its section stays as it is.
    """
    for name, section in others.items():
        if isinstance(section, dict) and absolute(section.get("root", "demo")) == absolute(root):
            return name, section
    name = usable_name(absolute(root).name or "images", taken={*RESERVED, *map(str.casefold, others)})
    return name, {"root": root, "has_masks": False}
