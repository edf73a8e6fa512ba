"""Image-level tags: from a table, from XML annotations (ImageNet DET, PASCAL VOC), or from the folders' names."""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from usod.data.layouts import LAYOUTS, role_of
from usod.errors import UsageError, UsodError

LARGEST_XML = 10 * 2**20
FOLDERS = "folders"
"""The source of tags that are the names of the folders that images lie in."""


def find_tags(
    ids: Sequence[str], source: str | Path, images: Sequence[str | Path] | None = None
) -> dict[str, list[str]]:
    """The tags of each image.

    Parameters
    ----------
    ids : of the index: paths below the images' folder, without ending
    source : a CSV file with the columns id and tags (separated by ";"); a folder of XML files with object/name
        elements, named like the ids or like their last parts; or "folders": the folder that an image lies in
    images : their files, for "folders"; None: the ids say the folders

    Returns
    -------
    id -> its tags, sorted, each once; an image without tags has none

    Raises
    ------
    UsodError
        If the source is missing or of another form, or no image has a tag.
    """
    if str(source) == FOLDERS:
        found = _from_folders(ids, images)
    elif Path(source).is_dir():
        found = _from_xml(ids, Path(source))
    else:
        found = _from_table(ids, Path(source))
    if not any(found.values()):
        raise UsodError(f"{source}: no image of the index has a tag there; are the ids the same?")
    return {key: sorted(set(tags)) for key, tags in found.items()}


@dataclass(frozen=True)
class TagChoice:
    """Which images of a data set are used, by their tags.

    Attributes
    ----------
    source : of the tags, see `find_tags`
    only : images with any of these tags; none named: all images
    without : but none with any of these
    """

    source: str | Path
    only: Sequence[str] = ()
    without: Sequence[str] = ()

    def keeps(self, ids: Sequence[str], images: Sequence[str | Path]) -> list[bool]:
        """Which of the images are used.

        Raises
        ------
        UsageError
            If a tag is named that no image has, or none is left.
        UsodError
            As `find_tags`.
        """
        tags = find_tags(ids, self.source, images)
        known = {tag for of_image in tags.values() for tag in of_image}
        for name in (*self.only, *self.without):
            if name not in known:
                raise UsageError(f"{self.source}: no image has the tag {name!r}; there are {', '.join(sorted(known))}")
        only, without = set(self.only) or None, set(self.without)
        kept = [(only is None or bool(only & set(tags[key]))) and not without & set(tags[key]) for key in ids]
        if not any(kept):
            raise UsageError(f"{self.source}: no image is left of these tags; name others")
        return kept


def annotations(folder: Path) -> list[Path]:
    """The XML files below a folder, in order."""
    return sorted(folder.rglob("*.xml"))


def write_tags(path: str | Path, tags: dict[str, list[str]]) -> None:
    """A CSV file with the columns id and tags (separated by ";"), atomically."""
    from usod.files import atomic_path

    for name in {tag for of_image in tags.values() for tag in of_image}:
        if ";" in name:
            raise UsodError(f"tag {name!r}: ';' separates tags, rename it")
    table = pd.DataFrame({"id": list(tags), "tags": [";".join(of_image) for of_image in tags.values()]})
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def tag_matrix(path: str | Path, ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The names of all tags, sorted, and which image has which: (N, K) bool.

    Raises
    ------
    UsodError
        If an image is missing in the file, or there are no tags.
    """
    tags = _from_table(ids, Path(path))
    names = sorted({tag for of_image in tags.values() for tag in of_image})
    if not names:
        raise UsodError(f"{path}: no tags")
    column = {name: number for number, name in enumerate(names)}
    matrix = np.zeros((len(ids), len(names)), bool)
    for row, key in enumerate(ids):
        matrix[row, [column[tag] for tag in tags[key]]] = True
    return names, matrix


def _from_folders(ids: Sequence[str], images: Sequence[str | Path] | None) -> dict[str, list[str]]:
    found = {key: [PurePosixPath(key).parent.name] if "/" in key else [] for key in ids}
    if images is None:
        return found
    # An id says the folder only where a stem is there twice.
    folders = [_without_role(Path(image).parent) for image in images]
    shared = Path(os.path.commonpath(folders))
    for key, folder in zip(ids, folders, strict=True):
        if not found[key] and folder != shared:
            found[key] = [folder.name]
    return found


def _without_role(folder: Path) -> Path:
    """The folder that says what is in an image: not `images` itself, but the one that it lies in."""
    while role_of((folder.name,), LAYOUTS["folders"])[0] == "image":
        folder = folder.parent
    return folder


def _from_table(ids: Sequence[str], path: Path) -> dict[str, list[str]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UsodError(f"{path}: not readable as a table of tags ({' '.join(str(error).split())})") from error
    if not {"id", "tags"} <= set(table.columns):
        raise UsodError(f"{path}: a table of tags has the columns id and tags, this one {', '.join(table.columns)}")
    of_id = dict(zip(table["id"], table["tags"], strict=True))
    missing = [key for key in ids if key not in of_id]
    if missing:
        raise UsodError(f"{path}: {len(missing)} of {len(ids)} images have no row: {', '.join(missing[:3])}, ...")
    return {key: [tag.strip() for tag in of_id[key].split(";") if tag.strip()] for key in ids}


def _from_xml(ids: Sequence[str], folder: Path) -> dict[str, list[str]]:
    files: dict[str, Path] = {}
    for file in annotations(folder):
        files[file.relative_to(folder).with_suffix("").as_posix()] = file
        files.setdefault(file.stem, file)
    if not files:
        raise UsodError(f"{folder}: no .xml files in this folder")
    found: dict[str, list[str]] = {}
    for key in ids:
        annotation = files.get(key) or files.get(PurePosixPath(key).name)
        found[key] = _names(annotation) if annotation else []
    return found


def _names(path: Path) -> list[str]:
    text = path.read_bytes()
    # Entities can blow a small file up to gigabytes; annotations have none.
    if len(text) > LARGEST_XML or b"<!ENTITY" in text or b"<!DOCTYPE" in text:
        raise UsodError(f"{path}: refused: larger than an annotation, or with a document type; remove it")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UsodError(f"{path}: not XML ({error}); repair or remove it") from error
    return [name.text.strip() for name in root.iterfind("./object/name") if name.text and name.text.strip()]
