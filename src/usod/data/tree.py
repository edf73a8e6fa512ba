"""The files below a folder and which of them are images: one definition for everything that looks for images."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from usod.errors import UsageError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm"}
)
_COMPANION_SUFFIXES = frozenset({".txt", ".csv", ".mat", ".md", ".json", ".yaml", ".pdf", ".rst", ".html"})


class Files(NamedTuple):
    """What `scan` found below a root."""

    images: list[PurePosixPath]  # relative to the root
    folders: list[tuple[str, ...]]  # the same, lower case
    strays: Counter[str]  # suffix -> number of files that are neither images nor what usually lies beside them


def is_image(name: str) -> bool:
    """Whether a file of this name counts as an image: by its suffix, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  (runs over whole sets)


def scan(root: str | Path, without: str | Path | None = None) -> Files:
    """All files below `root`, told by their names; hidden ones (AppleDouble `._*` too) and `__MACOSX` are left out.

    Links to folders are followed, each folder once. Of the folder `without` the name is kept, its files are not.
    Raises UsageError where `root` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder")
    files = Files([], [], Counter())
    excluded = os.path.realpath(without) if without is not None else None
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        parts = Path(folder).relative_to(root).parts
        files.folders.append(tuple(part.casefold() for part in parts))
        if real == excluded:
            subfolders.clear()
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(names):
            if is_image(name):
                files.images.append(PurePosixPath(*parts, name))
            elif name.startswith("."):
                files.strays["._*" if name.startswith("._") else "hidden"] += 1
            elif (suffix := Path(name).suffix.lower()) not in _COMPANION_SUFFIXES:
                files.strays[suffix or "no suffix"] += 1
    return files


def image_files(folder: str | Path, without: str | Path | None = None) -> list[Path]:
    """The images that `scan` finds below a folder, in order of their paths."""
    return [Path(folder) / path for path in sorted(scan(folder, without).images)]


def png_names(images: Iterable[PurePath]) -> dict[PurePath, PurePath]:
    """image -> the PNG file made of it: `x/a.jpg` gives `x/a.png`; beside an `x/a.webp` it gives `x/a.jpg.png`."""
    short = {image: image.with_suffix(".png") for image in images}
    uses = Counter(short.values())
    whole = {image: image.with_name(f"{image.name}.png") for image, name in short.items() if uses[name] > 1}
    while more := [image for image, name in short.items() if image not in whole and name in whole.values()]:
        whole |= {image: image.with_name(f"{image.name}.png") for image in more}
    return short | whole
