"""A folder of masks for maps whose names are known: evaluation without an index."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from usod.data.images import read_mask
from usod.data.index import read_masks, require_shape
from usod.data.tree import image_files
from usod.errors import UsageError, UsodError


def given_masks(
    index: str | Path | None, folder: str | Path | None, threshold: float = 0.5
) -> Callable[[Sequence[str]], pd.DataFrame]:
    """Reader of the masks of given ids, from a masks.csv or a folder; UsageError unless one of the two is given.

    The options are refused before any map is opened, so that a wrong call is told as what it is.
    """
    if index is not None and folder is None:
        return lambda ids: read_masks(index)
    if folder is not None and index is None:
        return lambda ids: masks_in_folder(folder, ids, threshold)
    raise UsageError("give the masks: either --index masks.csv or --masks FOLDER")


def masks_in_folder(folder: str | Path, ids: Sequence[str], threshold: float = 0.5) -> pd.DataFrame:
    """The masks of `ids` below `folder`, by relative path without ending, else by a file name that is there once.

    Parameters
    ----------
    threshold : salient above this share of the full range

    Returns
    -------
    the columns of `usod.data.index.read_masks`: id, mask (path), threshold, foreground_share

    Raises
    ------
    UsodError
        If the folder is missing or some ids have no mask; the line names the first few.
    """
    folder = Path(folder)
    found = match_masks(_files(folder), folder, ids)
    if missing := [key for key in ids if key not in found]:
        raise UsodError(f"{folder}: {len(missing)} of {len(ids)} maps have no mask here: {_some(missing)}")
    rows = [(key, str(mask), threshold, float(read_mask(str(mask), threshold).mean())) for key, mask in found.items()]
    return pd.DataFrame(rows, columns=["id", "mask", "threshold", "foreground_share"])


def corrections_in_folder(folder: str | Path, index: pd.DataFrame) -> pd.DataFrame:
    """The human masks below `folder` of some images of an index, matched by name as by `masks_in_folder`.

    Parameters
    ----------
    index : of the images (`usod.data.index.read_index`)

    Returns
    -------
    the columns of `usod.data.index.read_masks`, in the order of the index; masks may be scaled copies

    Raises
    ------
    UsodError
        If the folder is missing or has no masks, one cannot be read or is of another shape than its image, or a name
        is that of no image or of several.
    """
    folder = Path(folder)
    files = _files(folder)
    if not files:
        raise UsodError(f"{folder}: no masks (PNG or the like) in this folder of corrections")
    found = match_masks(files, folder, list(index["id"]))
    exact = {found[key] for key in found if _place(found[key], folder) == key}
    found = {key: file for key, file in found.items() if file not in exact or _place(file, folder) == key}
    count = Counter(found.values())
    if unknown := [str(file.relative_to(folder)) for file in files if file not in count]:
        raise UsodError(
            f"{folder}: {len(unknown)} of {len(files)} masks have the name of no image, or share it with another mask: "
            f"{_some(unknown)}; call each after its image's id, ID.png"
        )
    if shared := [str(file.relative_to(folder)) for file in files if count[file] > 1]:
        raise UsodError(f"{folder}: {_some(shared)} has the name of several images; place it by an image's id, ID.png")
    sizes = dict(zip(index["id"], zip(index["height"], index["width"], strict=True), strict=True))
    rows = [(key, str(file), 0.5, _share(file, sizes[key])) for key, file in found.items()]
    return pd.DataFrame(rows, columns=["id", "mask", "threshold", "foreground_share"])


def match_masks(files: Sequence[Path], folder: Path, ids: Sequence[str]) -> dict[str, Path]:
    """id -> its mask among `files`: by relative path without ending, else by a file name that is there once."""
    by_path = {_place(file, folder): file for file in files}
    count = Counter(p.stem for p in files)
    by_stem = {p.stem: p for p in files if count[p.stem] == 1}
    found = {key: by_path.get(key) or by_stem.get(Path(key).name) for key in ids}
    return {key: mask for key, mask in found.items() if mask is not None}


def _place(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsodError(f"{folder}: no such folder of masks")
    return image_files(folder)


def _share(file: Path, size: tuple[int, int]) -> float:
    """Share of salient pixels of a mask. Raises UsodError where its shape is not that of its image (height, width)."""
    mask = read_mask(file)
    require_shape(mask.shape, size, str(file), "its image")
    return float(mask.mean())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
