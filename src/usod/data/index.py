"""The tables that every other step starts from: index.csv (images, no masks) and masks.csv (the ground truth).

They are two files so that a training step can be shown not to read a mask: it has no path to one.
"""

import os
from collections.abc import Hashable, Iterable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usod.data.images import ImageFacts, image_size, inspect_image, read_graded_mask, read_image
from usod.data.lookalikes import REMEDY, masks_among_images
from usod.data.pairing import DataSet, Item, find_dataset, overlays
from usod.data.parallel import READERS, read_all
from usod.data.rights import rights_of
from usod.data.splits import Splits, assign_splits
from usod.data.tags import TagChoice
from usod.data.tree import Folders, left_out
from usod.errors import UsageError, UsodError
from usod.files import atomic_path

INDEX_COLUMNS = ("id", "image", "height", "width", "sha256", "split")
SPLIT_FROM, DHASH, RIGHTS = "split_from", "dhash", "rights"
"""Further columns: what the splits come from; what the image looks like (`difference_hash`); licence and author."""
MASK_COLUMNS = ("id", "mask", "threshold", "foreground_share")
_PATH_COLUMNS = ("image", "mask")
STORAGE = ".snakemake"
"""Where Snakemake keeps local copies of files that lie behind a storage."""


def build_index(
    root: str | Path,
    layout: str = "auto",
    split: str | None = None,
    progress: bool = False,
    masks_dir: str | Path | None = None,
    without: Folders = None,
    workers: int = READERS,
    published_as: str | None = None,
    tagged: TagChoice | None = None,
    rights: str | None = None,
) -> pd.DataFrame:
    """The images below `root`, each decoded once to prove that it can be; no mask is opened.

    Parameters
    ----------
    root : folder of the data set, as unpacked, or any tree of images
    layout, without : see `usod.data.pairing.find_dataset`
    split : keep only the images of this split, or of several: train+val
    masks_dir : the folder of masks, where the layout does not say it; its files are no images of the data set
    progress, workers : show progress (`usod.progress.progress`); threads that read
    published_as : the name in published tables under which scores on this split will stand
    tagged : keep only the images of certain tags
    rights : licence and author: of all images in words, or a CSV (id, rights), see `usod.data.rights`

    Returns
    -------
    One row per image in order of id: id (str, unique), image (absolute path), height, width (pixels, upright), sha256
    (of the file's bytes), split, split_from (in words), dhash (`usod.data.images.difference_hash`) and, where they are
    given, rights. `attrs` holds layout, data_set, split_source, notes (list of
    str), and whether the folder was given by a relative path.

    Raises
    ------
    UsageError
        If there is no such folder, layout, split or tag, or `published_as` is said of a split that is ours.
    UsodError
        If there are no images, one is broken (the message names the file), or the layout is "auto" and a folder looks
        like masks (`usod.data.lookalikes`).
    """
    data = find_dataset(root, layout, masks_dir, without)
    if layout == "auto" and (masks := masks_among_images(data)):
        raise UsodError(f"{masks[0]}; {REMEDY}")
    splits = assign_splits(data)
    if published_as and split and splits.ours:
        raise UsageError(_not_published(data, f"its split {split} ({splits.source})", published_as))
    items = _of_tags(_of_split(data.items, splits.of, split), tagged)
    facts = read_all(lambda item: inspect_image(item.image), items, "indexing", progress, workers)
    table = _table(items, facts, splits)
    if rights is not None:
        table[RIGHTS] = rights_of(rights, list(table["id"]))
    table.attrs = _attributes(data, splits.source, _notes(data, splits), root)
    return table


def _table(items: list[Item], facts: Sequence[ImageFacts], splits: Splits) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [item.id for item in items],
            "image": [str(_absolute(item.image)) for item in items],
            "height": [fact.height for fact in facts],
            "width": [fact.width for fact in facts],
            "sha256": [fact.sha256 for fact in facts],
            "split": [splits.of[item.id] for item in items],
            SPLIT_FROM: splits.unpublished or splits.source,
            DHASH: [fact.dhash for fact in facts],
        }
    )


def build_masks(
    root: str | Path,
    layout: str = "auto",
    masks_dir: str | Path | None = None,
    threshold: float = 0.5,
    split: str | None = None,
    progress: bool = False,
    without: Folders = None,
    workers: int = READERS,
    tagged: TagChoice | None = None,
) -> pd.DataFrame:
    """The masks of the images below `root`, under the ids and splits that `build_index` gives for the same arguments.

    Parameters
    ----------
    root, layout, split, progress, without, workers, tagged : as for `build_index`
    masks_dir : the folder of masks, where the layout does not say it, paired by relative path or stem
    threshold : a pixel is foreground where its normalised value is > threshold (`read_mask`), in [0, 1)

    Returns
    -------
    One row per image with a mask: id, mask (absolute path of a file, or of a `human_seg` folder), threshold,
    foreground_share in [0, 1]. `attrs` as for `build_index`; notes tell what has no mask and what is empty.

    Raises
    ------
    UsageError
        As `build_index`, or if the threshold is out of range.
    UsodError
        If there are no masks, or one is broken or of another shape than its image.
    """
    if not 0 <= threshold < 1:
        raise UsageError(f"threshold {threshold} is not in [0, 1)")
    data = find_dataset(root, layout, masks_dir, without)
    splits = assign_splits(data)
    items = _of_tags(_of_split(data.items, splits.of, split), tagged)
    items = [item for item in items if item.mask is not None]
    if not items:
        named = f" ({data.name_mismatch})" if data.name_mismatch else ""
        raise UsodError(
            f"{masks_dir or root}: no mask matches an image by name{named}; give the folder of masks (--masks, "
            "masks:), or set has_masks: false for an unlabelled set"
        )
    shares = read_all(lambda item: _foreground_share(item, threshold), items, "reading masks", progress, workers)
    table = pd.DataFrame(
        {
            "id": [item.id for item in items],
            "mask": [str(_absolute(item.mask)) for item in items if item.mask],
            "threshold": threshold,
            "foreground_share": shares,
        },
        columns=list(MASK_COLUMNS),
    )
    empty = [item.id for item, share in zip(items, shares, strict=True) if share == 0]
    table.attrs = _attributes(data, splits.source, _notes_of_masks(data, empty), masks_dir or root)
    return table


def load_mask(mask: str | Path, threshold: float = 0.5) -> np.ndarray:
    """The mask that a row of masks.csv names, from its columns `mask` and `threshold`: (H, W) bool."""
    return load_graded_mask(mask) > threshold


def load_graded_mask(mask: str | Path) -> np.ndarray:
    """The values, (H, W) float32 in [0, 1], that `load_mask` compares with its threshold.

    A folder holds one colour overlay per annotator (`merge_votes`: 0 or 1), a file is read by `read_graded_mask`.
    """
    path = Path(mask)
    return merge_votes(path).astype(np.float32) if path.is_dir() else read_graded_mask(path)


def load_masks(masks: str | Path, ids: Sequence[str]) -> list[np.ndarray]:
    """The masks of some images, (H, W) bool each, of a masks.csv. Raises UsodError where one has none."""
    table = read_masks(masks)
    of_id = dict(zip(table["id"], zip(table["mask"], table["threshold"], strict=True), strict=True))
    if missing := [key for key in ids if key not in of_id]:
        raise UsodError(f"{masks}: no mask of {missing[0]}")
    return [load_mask(*of_id[key]) for key in ids]


def merge_votes(folder: str | Path) -> np.ndarray:
    """The consensus of the annotators of one Weizmann image (SED1, SED2): (H, W) bool.

    Each overlay paints object 1 pure red and object 2 pure blue over the grey image. A pixel is salient where at least
    two annotators painted it in either colour, as the authors' scorer counts votes; with fewer than three annotators
    the majority decides, which for two of them means both.

    Raises
    ------
    UsodError
        If there are no overlays, or overlays of different sizes.
    """
    folder = Path(folder)
    pictures = overlays(folder)
    if not pictures:
        raise UsodError(f"{folder}: holds no .png overlay; copy the data set again")
    votes = 0
    shape = None
    for path in pictures:
        red, green, blue = np.moveaxis(read_image(path), -1, 0)
        if shape not in (None, red.shape):
            raise UsodError(f"{path}: is {_size(red.shape)}, the other overlays of its folder are {_size(shape)}")
        shape = red.shape
        votes = votes + (((red == 255) & (green == 0)) | ((blue == 255) & (red == 0))).astype(np.uint8)
    return np.asarray(votes >= min(2, len(pictures)))


def write_index(table: pd.DataFrame, path: str | Path) -> None:
    """Write an index or a mask table as CSV, atomically.

    Files are stored relative to the folder of `path` where they lie below it, and, if `path` is in the current working
    folder, where they lie in that too or were found by a relative path: so the project's folder can be moved, with
    the photographs in it or beside it. Others are absolute.

    Raises
    ------
    UsodError
        If the disk is full or the folder cannot be written; the old file is left as it was.
    """
    path = Path(path)
    folder = _absolute(path.parent)
    relative = bool(table.attrs.get("relative"))
    table = table.copy()
    for column in set(_PATH_COLUMNS) & set(table.columns):
        table[column] = [_stored(_absolute(name), folder, relative) for name in table[column]]
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def read_index(path: str | Path) -> pd.DataFrame:
    """Read index.csv: the columns of `build_index` with absolute paths.

    Raises
    ------
    UsodError
        If the file is missing or no such table, has no rows or an id twice, or names images that are no longer there.
    """
    return _read_table(Path(path), INDEX_COLUMNS, "usod data index ROOT --out index.csv")


def image_paths(path: str | Path, ids: Iterable[str] | None = None) -> dict[str, Path]:
    """id -> file, of the images of index.csv, or some of them.

    Raises
    ------
    UsodError
        As `read_index` does; if one of `ids` is not there.
    """
    table = read_index(path)
    images = dict(zip(table["id"], map(Path, table["image"]), strict=True))
    if missing := next((key for key in ids or () if key not in images), None):
        raise UsodError(f"{path}: has no image {missing}, which is in the maps")
    return images if ids is None else {key: images[key] for key in ids}


def split_from(index: pd.DataFrame) -> str:
    """What the splits of an index come from, in words; empty where it does not say."""
    return str(index[SPLIT_FROM].iloc[0]) if SPLIT_FROM in index else ""


def read_masks(path: str | Path) -> pd.DataFrame:
    """Read masks.csv: the columns of `build_masks` with absolute paths. Raises UsodError as `read_index` does."""
    return _read_table(Path(path), MASK_COLUMNS, "usod data masks ROOT --out masks.csv")


def _read_table(path: Path, columns: tuple[str, ...], remedy: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise UsodError(f"{path}: no such file; make it with `{remedy}`") from error
    except (OSError, ValueError) as error:
        raise UsodError(f"{path}: cannot be read as a CSV table ({' '.join(str(error).split())})") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UsodError(f"{path}: lacks the columns {', '.join(missing)}; make it with `{remedy}`")
    if table.empty:
        raise UsodError(f"{path}: has no rows; make it with `{remedy}`")
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise UsodError(f"{path}: has the id {twice.iloc[0]!r} twice; make it with `{remedy}`")
    try:
        types = {"height": int, "width": int, "threshold": float, "foreground_share": float}
        table = table.astype({column: kind for column, kind in types.items() if column in columns})
    except (ValueError, OverflowError) as error:
        raise UsodError(f"{path}: holds something that is no number ({error}); make it with `{remedy}`") from error
    column = columns[1]
    folder = _absolute(path.parent)
    table[column] = [os.path.normpath(folder / name) for name in table[column]]
    first = table[column].iloc[0]
    if not os.path.exists(first):  # noqa: PTH110  (Path.exists raises for names that no file can have)
        # One look tells a moved data set; a single lost file is named when it is read.
        raise UsodError(f"{path}: names {first[-200:]!r}, which does not exist; was the data set moved? Run `{remedy}`")
    return table


def _notes(data: DataSet, splits: Splits) -> list[str]:
    notes = [*filter(None, [splits.unpublished]), *splits.notes, *left_out(data.strays)]
    if data.outside:
        notes.append(f"{len(data.outside)} images lie in folders of neither images nor masks, e.g. {data.outside[0]}")
    return notes


def _notes_of_masks(data: DataSet, empty: list[str]) -> list[str]:
    bare, unmatched = sum(item.mask is None for item in data.items), data.unmatched_masks
    return [
        *([f"{bare} of {len(data.items)} images have no mask"] if bare else []),
        *([f"{len(unmatched)} masks have no image, e.g. {unmatched[0]}"] if unmatched else []),
        *([f"{len(empty)} masks are empty, e.g. {empty[0]}"] if empty else []),
    ]


def _not_published(data: DataSet, split: str, published_as: str) -> str:
    wanted = (data.known.divided_by if data.known else "") or "lists such as train.txt"
    return (
        f"{data.root}: {split} is not that of {published_as} in published tables; put {wanted} there, or leave "
        "published_as out"
    )


def _of_split(items: list[Item], splits: dict[str, str], split: str | None) -> list[Item]:
    if split is None:
        return items
    chosen = [item for item in items if splits[item.id] in split.split("+")]
    if not chosen:
        raise UsageError(f"split {split!r} has no images; there are {', '.join(sorted(set(splits.values())))}")
    return chosen


def _of_tags(items: list[Item], tagged: TagChoice | None) -> list[Item]:
    if tagged is None:
        return items
    kept = tagged.keeps([item.id for item in items], [item.image for item in items])
    return list(compress(items, kept))


def _foreground_share(item: Item, threshold: float) -> float:
    assert item.mask is not None
    mask = load_mask(item.mask, threshold)
    require_shape(mask.shape, image_size(item.image), str(item.mask), f"its image {item.image}")
    return float(mask.mean())


def require_shape(mask: tuple[int, ...], image: tuple[int, int], name: str, of: str) -> None:
    """Raise UsodError where a mask (height, width) has another aspect ratio than its image, by more than 2 percent.

    A copy of the picture at another scale still says where the object is; a turned or foreign mask does not.
    """
    if abs(mask[0] * image[1] / (mask[1] * image[0]) - 1) > 0.02:
        raise UsodError(f"{name}: is {_size(mask)}, {of} is {_size(image)}")


def _attributes(data: DataSet, split_source: str, notes: list[str], given: str | Path) -> dict[Hashable | None, Any]:
    return {
        "layout": data.layout.name,
        "data_set": data.known.name if data.known else None,
        "split_source": split_source,
        "notes": notes,
        "relative": not Path(given).is_absolute(),
    }


def _stored(target: Path, folder: Path, relative: bool) -> str:
    project = Path.cwd()
    if STORAGE in folder.parts and not (STORAGE in target.parts or target.is_relative_to(folder)):
        return str(target)  # the table moves to where the storage has it, the photographs do not
    together = folder.is_relative_to(project) and (relative or target.is_relative_to(project))
    if together or target.is_relative_to(folder):
        return Path(os.path.relpath(target, folder)).as_posix()
    return str(target)


def _absolute(path: str | Path) -> Path:
    # Links stay as they are: a data set linked into the project's folder is still stored relative to it.
    return Path(os.path.normpath(Path(path).absolute()))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
