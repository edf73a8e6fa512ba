"""The files below a folder and which of them are images: one definition for everything that looks for images."""

import functools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from PIL import features

from usod.errors import UsageError, UsodError

_ALWAYS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm"}
)
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
AVIF_SUFFIXES = frozenset({".avif"})
IMAGE_SUFFIXES = _ALWAYS | HEIF_SUFFIXES | AVIF_SUFFIXES
"""Of images that `usod.data.images` can read, the last two kinds where the libraries for them are installed."""
_COMPANION_SUFFIXES = frozenset({".txt", ".csv", ".mat", ".md", ".json", ".yaml", ".rst", ".html", ".xml"})
FILM_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mts", ".wmv", ".3gp", ".mpg"})
RESULTS, SNAKEMAKE = "results", ".snakemake"

Folders = str | Path | Sequence[str | Path] | None


class _Kind(NamedTuple):
    """Files that hold pictures, but are no image files that can be read."""

    one: str
    many: str
    suffixes: frozenset[str]
    remedy: str


_KINDS = (
    _Kind("film", "films", FILM_SUFFIXES,
          "take pictures out first: ffmpeg -i FILM -vf fps=1 FOLDER/%05d.png"),
    _Kind("raw photograph", "raw photographs",
          frozenset({".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"}),
          "develop to JPEG first, e.g. with darktable-cli"),
    _Kind("HEIC file", "HEIC files", HEIF_SUFFIXES, "it takes pillow-heif to read them: pip install 'usod[heif]'"),
    _Kind("AVIF file", "AVIF files", AVIF_SUFFIXES,
          "it takes Pillow 11.3 or newer to read them: pip install --upgrade pillow"),
    _Kind("picture of another format", "pictures of other formats",
          frozenset({".psd", ".xcf", ".jxl", ".jp2", ".exr", ".hdr", ".tga", ".dcm", ".ico"}),
          "save as PNG or JPEG first"),
)  # fmt: skip
# They lie beside many data sets: mentioned only where no image was found.
_WRAPPINGS = (
    _Kind("archive", "archives", frozenset({".zip", ".tar", ".gz", ".tgz", ".rar", ".7z", ".bz2", ".xz"}),
          "unpack first"),
    _Kind("document", "documents", frozenset({".pdf", ".svg", ".eps", ".ai"}), "save the pages as PNG first"),
)  # fmt: skip


class Files(NamedTuple):
    """What `scan` found below a root."""

    images: list[PurePosixPath]  # relative to the root
    folders: list[tuple[str, ...]]  # the same, lower case
    strays: Counter[str]  # suffix -> number of files that are neither images nor what usually lies beside them
    films: list[PurePosixPath]  # of the strays; relative to the root


def folders(one_or_more: Folders) -> list[str | Path]:
    """One folder, several or none, as a list."""
    return [one_or_more] if isinstance(one_or_more, str | Path) else list(one_or_more or [])


@functools.cache
def _readable() -> frozenset[str]:
    heif = HEIF_SUFFIXES if find_spec("pillow_heif") else frozenset()
    return _ALWAYS | heif | (AVIF_SUFFIXES if features.check("avif") else frozenset())


def is_image(name: str) -> bool:
    """Whether a file of this name counts as an image: by its suffix, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _readable()  # noqa: PTH122  (runs over whole sets)


def scan(root: str | Path, without: Folders = None, masks: str | Path | None = None) -> Files:
    """All files below `root`, by their names; hidden ones (AppleDouble `._*` too) and `__MACOSX` are left out.

    Links to folders are followed, each folder once. Left out like hidden ones are the folders `without`, and every
    folder `results` beside a `.snakemake`: the results of an earlier run. Of the folder
    `masks` the name is kept, as it tells the layout, its files are not.
    Raises UsageError where `root` is no folder, or one of `without`; UsodError where a folder cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"{root}: {'is a file, give its folder' if root.is_file() else 'no such folder'}")
    excluded = _real_paths(without)
    if os.path.realpath(root) in excluded:
        raise UsageError(f"{root}: is the folder of the results, which are left out; give the folder of the images")
    files = Files([], [], Counter(), [])
    named = os.path.realpath(masks) if masks is not None else None
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        parts = Path(folder).relative_to(root).parts
        files.folders.append(tuple(part.casefold() for part in parts))
        if real == named:
            subfolders.clear()
            continue
        subfolders[:] = _kept(folder, subfolders, excluded)
        for name in sorted(names):
            if is_image(name):
                files.images.append(PurePosixPath(*parts, name))
            elif name.startswith("."):
                files.strays["._*" if name.startswith("._") else "hidden"] += 1
            elif (suffix := Path(name).suffix.lower()) not in _COMPANION_SUFFIXES:
                files.strays[suffix or "no suffix"] += 1
                if suffix in FILM_SUFFIXES:
                    files.films.append(PurePosixPath(*parts, name))
    return files


def subfolders_of(root: str | Path, without: Folders = None) -> list[str]:
    """Paths of the folders in `root` that `scan` looks into, in order."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return [os.path.join(root, name) for name in _kept(str(root), names, _real_paths(without))]  # noqa: PTH118


def image_files(folder: str | Path, without: Folders = None) -> list[Path]:
    """The images that `scan` finds below a folder, in order of their paths."""
    return [Path(folder) / path for path in sorted(scan(folder, without).images)]


def left_out(strays: Counter[str], wrapped: bool = False) -> list[str]:
    """Of the files that `scan` calls strays those that hold pictures: how many, of which kind, and what to do.

    One sentence for each kind, as "2 films (.mov, .mp4) were left out: take pictures out first". `wrapped`:
    archives and documents too.
    """
    sentences = []
    for kind in (*_KINDS, *(_WRAPPINGS if wrapped else ())):
        found = sorted(kind.suffixes & strays.keys())
        count = sum(strays[suffix] for suffix in found)
        if count:
            what = f"{count} {kind.one if count == 1 else kind.many} ({', '.join(found)})"
            sentences.append(f"{what} {'was' if count == 1 else 'were'} left out: {kind.remedy}")
    return sentences


def png_names(images: Iterable[PurePath]) -> dict[PurePath, PurePath]:
    """image -> the PNG file made of it: `x/a.jpg` gives `x/a.png`; beside an `x/a.webp` it gives `x/a.jpg.png`."""
    short = {image: image.with_suffix(".png") for image in images}
    uses = Counter(short.values())
    whole = {image: image.with_name(f"{image.name}.png") for image, name in short.items() if uses[name] > 1}
    while more := [image for image, name in short.items() if image not in whole and name in whole.values()]:
        whole |= {image: image.with_name(f"{image.name}.png") for image in more}
    return short | whole


def _unreadable(error: OSError) -> None:
    """For os.walk, which would skip the folder."""
    raise UsodError(f"{error.filename}: cannot be read ({error.strerror}); make it readable, or move it elsewhere")


def _kept(folder: str, subfolders: Sequence[str], excluded: set[str]) -> list[str]:
    """The subfolders that are looked into, in order."""
    hidden = {name for name in subfolders if name.startswith(".")} | {"__MACOSX"}
    if SNAKEMAKE in hidden:
        hidden.add(RESULTS)
    kept = sorted(name for name in subfolders if name not in hidden)
    if not excluded:
        return kept
    return [name for name in kept if os.path.realpath(os.path.join(folder, name)) not in excluded]  # noqa: PTH118


def _real_paths(without: Folders) -> set[str]:
    return {os.path.realpath(folder) for folder in folders(without)}
