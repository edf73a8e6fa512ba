"""`usod labels import`: corrected masks of other tools as PNG files, named like the images' ids."""

import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from usod.data.images import orientation
from usod.data.mapstore import write_map
from usod.errors import UsageError, UsodError
from usod.files import explained
from usod.labels.formats import detect, open_format
from usod.labels.formats.base import Found, told
from usod.labels.photos import Names, Photo, upright
from usod.progress import progress, say


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """An export as the tool has packed it: a zip file's content in a temporary folder, anything else as it is."""
    if not path.exists():
        raise UsodError(f"{path}: no such file or folder")
    if not (path.is_file() and zipfile.is_zipfile(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                # macOS adds a second file to each; extractall itself leaves out .. and absolute paths.
                archive.extractall(folder, [name for name in archive.namelist() if not name.startswith("__MACOSX/")])
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
            raise UsodError(f"{path}: cannot be unpacked ({error}); unpack it yourself and give the folder") from error
        yield Path(folder)


def import_labels(
    path: Path,
    out: Path,
    photos: Sequence[Photo],
    name: str | None = None,
    classes: frozenset[str] = frozenset(),
    with_empty: bool = False,
) -> None:
    """Write `out`/ID.png, black and white and of the image's own size, for each image that has labels.

    All objects of an image are united. An image without any is left out, unless the file says in its own way that
    it was looked at (a submitted annotation of Label Studio, a black mask of VOC or CVAT), or `with_empty` is given.
    Masks of images that are not in the file stay in `out` as they are.

    Parameters
    ----------
    path : what a tool has exported: file, folder or zip file
    photos : the images
    name : of the format; none: it is detected
    classes : only objects of these classes; empty: of all

    Raises
    ------
    UsageError
        If `out` is a file.
    UsodError
        Before anything is written if the file is malformed, an image is not known or is there twice, or its size is
        another; if there are no labels.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; give a folder")
    with unpacked(path) as source:
        kind = name or detect(source)
        found = list(open_format(kind).read(source, classes))
        if not found:
            raise UsodError(f"{path}: holds no images in format {kind}")
        pairs = _matched(path, found, photos)
        chosen = [(entry, photo) for entry, photo in pairs if entry.labelled or with_empty]
        if not chosen:
            raise UsodError(
                f"{path}: none of its {len(found)} images has a label{' of these classes' if classes else ''}; if they "
                "were looked at and nothing is there, say --with-empty"
            )
        turns = [_turn(entry, photo) for entry, photo in chosen]
        empty = _write(path, out, chosen, turns)
    _tell(out, kind, found, len(chosen), empty)


def _write(path: Path, out: Path, chosen: list[tuple[Found, Photo]], turns: list[int]) -> int:
    """Draw all masks, then put them into `out`; the number of empty ones."""
    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        empty = 0
        items = zip(chosen, turns, strict=True)
        for (entry, photo), turn in progress(items, len(chosen), "importing"):
            mask = _mask(path, entry, photo, turn)
            empty += not mask.any()
            write_map(made / f"{photo.id}.png", mask.astype(np.float32))
        with explained(out):
            for file in sorted(made.rglob("*.png")):
                target = out / file.relative_to(made)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return empty


def _matched(path: Path, found: list[Found], photos: Sequence[Photo]) -> list[tuple[Found, Photo]]:
    names = Names(photos)
    by_id = {photo.id: photo for photo in photos}
    pairs = [(entry, by_id.get(entry.id or "") or names.find(entry.name)) for entry in found]
    if unknown := [entry.name for entry, photo in pairs if photo is None]:
        some = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise UsodError(
            f"{path}: {len(unknown)} of {len(found)} images are not among yours, or several have their name: {some}; "
            "give the folder or index that they are in"
        )
    known = [(entry, photo) for entry, photo in pairs if photo is not None]
    for photo, count in Counter(photo for _, photo in known).items():
        if count > 1:
            two = [entry.name for entry, other in known if other == photo]
            raise UsodError(f"{path}: has labels of {photo.name} twice ({two[0]}, {two[1]}); import them apart")
    return known


def _turn(entry: Found, photo: Photo) -> int:
    """The EXIF orientation that the labels lack; 1: none. Raises UsodError where the size is of another image."""
    if entry.size in (None, photo.size):
        return 1
    turn = orientation(photo.path)
    if turn >= 5 and entry.size == photo.size[::-1]:
        return turn
    stated, own = ("x".join(map(str, size[::-1])) for size in (entry.size or (0, 0), photo.size))
    raise UsodError(f"{entry.name}: its labels are of an image of {stated} pixels, {photo.path} has {own}")


def _mask(path: Path, entry: Found, photo: Photo, turn: int) -> NDArray[np.bool_]:
    with told(f"{path}: {entry.name}", "whole shapes"):
        return upright(entry.draw(entry.size or photo.size), turn)


def _tell(out: Path, kind: str, found: list[Found], written: int, empty: int) -> None:
    say(f"{out}: {written} masks from {kind}, {empty} of them empty")
    if written < len(found):
        say(f"{len(found) - written} images have no label and were left out; --with-empty makes them empty masks")
    left_out: Counter[str] = sum((Counter(entry.left_out or {}) for entry in found), Counter())
    if left_out:
        what = ", ".join(f"{count} {shape}" for shape, count in sorted(left_out.items()))
        say(f"not masks, left out: {what}")
