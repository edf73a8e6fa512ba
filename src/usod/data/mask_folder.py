"""A folder of masks for maps whose names are known: evaluation without an index."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from usod.data.images import read_mask
from usod.data.index import read_masks
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
    if not folder.is_dir():
        raise UsodError(f"{folder}: no such folder of masks")
    files = image_files(folder)
    by_path = {p.relative_to(folder).with_suffix("").as_posix(): p for p in files}
    count = Counter(p.stem for p in files)
    by_stem = {p.stem: p for p in files if count[p.stem] == 1}
    found = {key: by_path.get(key) or by_stem.get(Path(key).name) for key in ids}
    missing = [key for key, mask in found.items() if mask is None]
    if missing:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise UsodError(f"{folder}: {len(missing)} of {len(ids)} maps have no mask here: {some}")
    rows = [(key, str(mask), threshold, float(read_mask(str(mask), threshold).mean())) for key, mask in found.items()]
    return pd.DataFrame(rows, columns=["id", "mask", "threshold", "foreground_share"])
