"""Which images are for training and which for testing: the data set's own lists, its folders, or a hash of the id."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import scipy.io

from usod.data.layouts import SPLIT_TABLE, canonical_split, split_lists, split_of_folder
from usod.data.pairing import DataSet, Item
from usod.data.tree import IMAGE_SUFFIXES
from usod.errors import UsodError

TEST_SHARE = 0.2


@dataclass
class Splits:
    """Which image belongs to which split.

    Attributes
    ----------
    of : id -> "train", "val", "test" or another name
    source : where that comes from
    notes : what is odd
    ours : nothing in the data set says it
    unpublished : where the set is known and was published with another split: what to do, a sentence; else empty
    """

    of: dict[str, str]
    source: str
    notes: list[str] = field(default_factory=list)
    ours: bool = False
    unpublished: str = ""


def assign_splits(data: DataSet) -> Splits:
    """The split of every image. The first of these that exists decides:

    1. `split.csv` (id,split) in the root;
    2. lists such as `train.txt`, `test.txt`, `valid_cvpr2013.txt`, `trainImgSet.mat` in the root or a folder of it
       (images in none of them: "test" if there is no such list, else "train" if there is no such list, else "unused");
    3. folders such as `train/`, `DUTS-TE/`, when every image lies in one;
    4. a published set without training images: all "test";
    5. where there are masks to test against 20% "test", the rest "train", by SHA-256 of the id, so that an image added
       later moves no other. This split is ours, and no published one.

    Raises
    ------
    UsodError
        If a split.csv lacks the columns id and split, a list cannot be read, or the name of an image is no UTF-8: no
        table of the images could hold it.
    """
    for item in data.items:
        if item.id.encode(errors="replace").decode() != item.id:
            raise UsodError(f"{data.root}: the name of {item.id!a} is not UTF-8; rename the file")
    names = _Names(data)
    table = data.root / SPLIT_TABLE
    if table.is_file():
        return _from_table(table, names, data.items)
    lists = split_lists(data.root, data.without)
    if lists:
        return _from_lists(lists, names, data)
    by_folder = {item.id: _split_of_folder(item.image, data.root) for item in data.items}
    if all(by_folder.values()):
        return Splits({key: split for key, split in by_folder.items() if split}, "folders")
    if data.known and data.known.test_only:
        return Splits({item.id: "test" for item in data.items}, f"{data.known.name} is a test set")
    test_share = TEST_SHARE if data.has_masks else 0.0
    of = {item.id: "test" if _uniform(item.id) < test_share else "train" for item in data.items}
    source = f"hash of the id, {test_share:.0%} test" if test_share else "no lists, folders or masks: all for training"
    return Splits(of, source, ours=True, unpublished=_unpublished(data, source))


def _unpublished(data: DataSet, source: str) -> str:
    if data.known is None or not data.known.divided_by:
        return ""
    name, lists = data.known.name, data.known.divided_by
    return f"this is not the published split of {name} ({source}); for that one put {lists} into {data.root}"


def _uniform(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _split_of_folder(image: Path, root: Path) -> str | None:
    # The root's own name counts only as DUTS-TR, not as "train": that may be a class of vehicles.
    own = root.resolve().name
    parts = [own] if "-" in own or "_" in own else []
    for part in reversed([*parts, *image.relative_to(root).parts[:-1]]):
        if split := split_of_folder(part):
            return split
    return None


class _Names:
    """Finds the id that a line of somebody's list means: by id, by path or by stem, with or without suffix."""

    def __init__(self, data: DataSet) -> None:
        self._ids: dict[str, str] = {}
        stems = Counter(item.image.stem for item in data.items)
        for item in data.items:
            path = item.image.relative_to(data.root)
            if stems[item.image.stem] == 1:
                self._ids.setdefault(item.image.stem, item.id)
            self._ids[path.with_suffix("").as_posix()] = item.id
        self._ids.update({item.id: item.id for item in data.items})

    def find(self, line: str) -> str | None:
        for text in (line, line.split()[0]):  # "a.jpg a.png" is a pair, "a b.jpg" a name with a space
            name = text.replace("\\", "/").removeprefix("./")
            path = PurePosixPath(name)
            bare = path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
            for candidate in (name, bare.as_posix(), bare.name):
                if candidate in self._ids:
                    return self._ids[candidate]
        return None


def _from_table(path: Path, names: _Names, items: list[Item]) -> Splits:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise UsodError(f"{path}: is not a CSV table ({error}); write the columns id,split") from error
    if not {"id", "split"} <= set(table.columns):
        raise UsodError(f"{path}: needs the columns id,split, has {','.join(table.columns)}")
    found = {names.find(name) if name.strip() else None: canonical_split(split)
             for name, split in zip(table["id"], table["split"], strict=True)}  # fmt: skip
    notes = _missing_note(path.name, [name for name in table["id"] if not name.strip() or names.find(name) is None])
    absent = [item.id for item in items if item.id not in found]
    if absent:
        notes.append(f"{len(absent)} images are not in {path.name} and count as unused, e.g. {absent[0]}")
    return Splits({item.id: found.get(item.id, "unused") for item in items}, path.name, notes)


def _from_lists(lists: dict[str, Path], names: _Names, data: DataSet) -> Splits:
    rest = data.known.rest if data.known else None
    rest = rest or next((split for split in ("test", "train") if split not in lists), "unused")
    of = {item.id: rest for item in data.items}
    notes = []
    claimed: Counter[str] = Counter()
    for split, path in lists.items():
        lines = _read_list(path)
        found = {name: names.find(name) for name in lines}
        notes += _missing_note(path.name, [name for name, key in found.items() if key is None])
        for key in {key for key in found.values() if key}:
            of[key] = split
            claimed[key] += 1
    both = [key for key, count in claimed.items() if count > 1]
    if both:
        notes.append(f"{len(both)} images are in more than one list, e.g. {both[0]}")
    left = len(data.items) - len(claimed)
    if left:
        notes.append(f"{left} images are in no list and count as {rest}")
    return Splits(of, ", ".join(sorted(path.name for path in lists.values())), notes)


def _missing_note(source: str, missing: list[str]) -> list[str]:
    return [f"{len(missing)} names of {source} are not among the images, e.g. {missing[0]!r}"] if missing else []


def _read_list(path: Path) -> list[str]:
    try:
        if path.suffix.lower() == ".mat":
            content = scipy.io.loadmat(path)
            return list(_strings(value for key, value in content.items() if not key.startswith("__")))
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError, NotImplementedError) as error:
        raise UsodError(f"{path}: cannot be read as a list of names ({error}); save it as a text file") from error


def _strings(values: Iterable[object]) -> Iterator[str]:
    """All strings in MATLAB's nested cell arrays."""
    for value in values:
        if isinstance(value, str):
            yield value.strip()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "OU":
            yield from _strings(value.ravel().tolist())
