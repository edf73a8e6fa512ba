"""A short fingerprint of the files that a step reads, to notice that one came, went or changed. No file is opened.

Images and masks have one each, so that a corrected mask is read again without a new training.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from usod.data.layouts import SPLIT_TABLE, split_lists
from usod.data.pairing import DataSet, find_dataset, overlays
from usod.data.tags import FOLDERS, annotations
from usod.data.tree import Folders, image_files
from usod.errors import UsageError, UsodError

Kind = Literal["images", "masks", "maps", "tags"]


def fingerprint(
    root: str | Path,
    kind: Kind,
    layout: str = "auto",
    masks_dir: str | Path | None = None,
    without: Folders = None,
) -> str:
    """Sixteen hexadecimal digits from the names, sizes and modification times of the files of one kind.

    Parameters
    ----------
    root : folder of the data set; for maps a folder of map images, or one file; for tags their source, as for
        `usod.data.tags.find_tags`
    kind : "images": the images and lists of splits, all that `usod.data.index.build_index` depends on; of the masks
        counts only whether there are any. "masks": the masks that have an image, and the lists. "maps": the map images.
        "tags": the table or the annotations; of "folders" the index says all
    layout, masks_dir, without : as for `usod.data.pairing.find_dataset`; not used for maps and tags

    Raises
    ------
    UsageError
        If there is no such file, folder or layout.
    UsodError
        If there are no images, or a file is a link to nothing.
    """
    root = Path(root)
    if kind == "maps":
        lines = _maps(root)
    elif kind == "tags":
        lines = _tags(root)
    else:
        data = find_dataset(root, layout, masks_dir, without)
        lines = _images(data) if kind == "images" else _masks(data, Path(masks_dir or root))
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _maps(path: Path) -> Iterator[str]:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    for file in image_files(path) if path.is_dir() else [path]:
        yield f"{file.relative_to(path).as_posix()} {_facts(file)}"


def _tags(source: Path) -> Iterator[str]:
    if str(source) == FOLDERS:
        yield FOLDERS
        return
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder of tags")
    for file in annotations(source) if source.is_dir() else [source]:
        yield f"{file.relative_to(source).as_posix()} {_facts(file)}"


def _images(data: DataSet) -> Iterator[str]:
    yield from _splits(data)
    for item in data.items:
        yield f"{item.id} {item.image.relative_to(data.root).as_posix()} {_facts(item.image)}"


def _masks(data: DataSet, folder: Path) -> Iterator[str]:
    yield from _splits(data)
    for item in data.items:
        if item.mask is not None:
            yield f"{item.id} {item.mask.relative_to(folder).as_posix()} {_facts(item.mask)}"


def _splits(data: DataSet) -> Iterator[str]:
    """All that the splits of the images depend on, beside their names."""
    yield f"{data.layout.name} {data.known.name if data.known else None} {data.has_masks}"
    table = data.root / SPLIT_TABLE
    for file in [table] if table.is_file() else split_lists(data.root, data.without).values():
        yield f"{file.relative_to(data.root).as_posix()} {_facts(file)}"


def _facts(path: Path) -> str:
    """Size and modification time of a file; of a folder of overlays those of its files."""
    try:
        status = os.stat(path)  # noqa: PTH116  (runs over whole data sets)
    except FileNotFoundError as error:
        raise UsodError(f"{path}: is a link to a file that does not exist; mend or remove it") from error
    except OSError as error:
        raise UsodError(f"{path}: cannot be looked at ({error.strerror}); mend or remove it") from error
    if stat.S_ISDIR(status.st_mode):
        return " ".join(f"{file.name} {_facts(file)}" for file in overlays(path))
    return f"{status.st_size} {status.st_mtime_ns}"
