"""The images of a folder with their masks and ids: who belongs to whom, by name and never by position in a list."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from usod.data.layouts import (
    KNOWN_SETS,
    LAYOUTS,
    KnownSet,
    Layout,
    bare_stem,
    detect,
    folders_layout,
    have_twins,
    recognise,
    role_of,
    twins,
)
from usod.data.tree import Folders, folders, is_image, left_out, scan
from usod.errors import UsageError, UsodError


@dataclass(frozen=True)
class Item:
    """One image of a data set.

    Attributes
    ----------
    id : unique in its data set
    image : its file
    mask : its mask: a file, or the annotators' folder; None: it has none
    """

    id: str
    image: Path
    mask: Path | None


@dataclass
class DataSet:
    """What `find_dataset` saw: the items in order of id, and all that found no place among them."""

    root: Path
    layout: Layout
    known: KnownSet | None
    items: list[Item]
    unmatched_masks: list[Path] = field(default_factory=list)
    outside: list[Path] = field(default_factory=list)  # image files in folders that hold neither images nor masks
    strays: Counter[str] = field(default_factory=Counter)  # suffix -> number of files that are not images
    without: Folders = None  # folders that were left out

    @property
    def has_masks(self) -> bool:
        return any(item.mask is not None for item in self.items)

    @property
    def name_mismatch(self) -> str:
        """An image and a mask as examples, where there are masks and none has the name of an image; else empty."""
        if self.has_masks or not self.unmatched_masks:
            return ""
        return f"e.g. image {self.items[0].image.name}, mask {self.unmatched_masks[0].name}"


class _Key(NamedTuple):
    """What an image and its mask have in common: the folders that say nothing of their role, and the stem."""

    folder: tuple[str, ...]
    stem: str


_Keys = dict[PurePosixPath, _Key]


def find_dataset(
    root: str | Path, layout: str = "auto", masks_dir: str | Path | None = None, without: Folders = None
) -> DataSet:
    """Find the images below `root` and the mask of each where there is one, from file names alone.

    Parameters
    ----------
    root : folder of the data set, as unpacked, or any tree of images
    layout : "auto", a key of LAYOUTS, or a key of KNOWN_SETS (then the layout is detected and the counts are set)
    masks_dir : take the masks from this folder, paired by relative path, else by stem. It may lie inside `root`: none
        of its files is an image of the data set
    without : one or more folders whose files are not seen, such as the results' (`usod.data.tree.scan`)

    Raises
    ------
    UsageError
        If there is no such folder, it is its own folder of masks, it is to be left out, or the layout is unknown.
    UsodError
        If there are no images in it.
    """
    root = Path(root)
    if layout not in ("auto", *LAYOUTS, *KNOWN_SETS):
        raise UsageError(f"layout {layout!r} is unknown; take auto or one of {', '.join((*LAYOUTS, *KNOWN_SETS))}")
    if masks_dir is not None and os.path.realpath(masks_dir) == os.path.realpath(root):
        raise UsageError(f"{masks_dir}: holds the images too; name no folder of masks where they lie beside the images")
    files = scan(root, without, masks=masks_dir)
    chosen = folders_layout(files) if layout == "folders" else LAYOUTS.get(layout) or detect(files)
    if masks_dir is not None:  # whole masks are given: no votes of annotators are merged
        chosen = replace(chosen, votes=False)
    images, masks, outside = _sort_by_role(files.images, chosen)
    if not images:
        found = f" in layout {chosen.name} ({chosen.meaning})" if files.images else ""
        reasons = left_out(files.strays, wrapped=True) or ["give the folder that holds them, or another layout"]
        raise UsodError(f"{root}: no images found{found}; {'; '.join(reasons)}")
    mask_root = root
    if masks_dir is not None:
        mask_root = Path(masks_dir)
        masks = {path: _key(path.parts[:-1], path.stem) for path in scan(mask_root, [root, *folders(without)]).images}
    pairs = _pair(images, masks)
    ids = _unique_ids(images)
    items = [Item(ids[path], root / path, mask_root / pairs[path] if path in pairs else None) for path in images]
    used = set(pairs.values())
    return DataSet(
        root=root,
        layout=chosen,
        known=KNOWN_SETS.get(layout) or recognise(root, files.folders, len(items)),
        items=sorted(items, key=lambda item: item.id),
        unmatched_masks=sorted(mask_root / mask for mask in masks if mask not in used),
        outside=[root / path for path in outside],
        strays=files.strays,
        without=without,
    )


def overlays(folder: Path) -> list[Path]:
    """The annotators' pictures in a `human_seg` folder."""
    return sorted(path for path in folder.iterdir() if is_image(path.name) and path.suffix.lower() == ".png")


def _key(folder: Iterable[str], stem: str) -> _Key:
    # Archives made on macOS store decomposed letters: the same name in another archive has other bytes.
    return _Key(tuple(unicodedata.normalize("NFC", part) for part in folder), unicodedata.normalize("NFC", stem))


def _sort_by_role(paths: list[PurePosixPath], layout: Layout) -> tuple[_Keys, _Keys, list[PurePosixPath]]:
    """Images and masks with their keys, and the image files that are neither."""
    roles = {path: role_of(path.parts[:-1], layout) for path in paths}
    if not any(role == "image" for role, _ in roles.values()):  # no folder is named as one: all that are no masks
        roles = {path: (role or "image", folder) for path, (role, folder) in roles.items()}
    images = {path: _key(folder, path.stem) for path, (role, folder) in roles.items() if role == "image"}
    masks = {path: _key(folder, path.stem) for path, (role, folder) in roles.items() if role == "mask"}
    outside = [path for path, (role, _) in roles.items() if role is None]
    if layout.votes:  # the folder of overlays is the mask, and the folder's name is the image's
        images = {path: _Key(key.folder, "") for path, key in images.items()}
        masks = {path.parent: _Key(key.folder, "") for path, key in masks.items()}
    elif layout.twins and not masks and (layout.name == "flat" or have_twins(list(images))):
        masks = {mask: images[image] for mask, image in twins(images).items()}
        images = {path: key for path, key in images.items() if path not in masks}
    return images, masks, outside


def _pair(images: _Keys, masks: _Keys) -> dict[PurePosixPath, PurePosixPath]:
    """image -> mask: first of equal keys, then of one stem where each is the other's only candidate that is left."""
    by_key: dict[_Key, list[PurePosixPath]] = defaultdict(list)
    # DUTS-TE came with two stray .jpg among its masks: of two files of one stem the .png is the mask.
    for mask in sorted(masks, key=lambda path: (path.suffix.lower() != ".png", path)):
        by_key[masks[mask]].append(mask)
    claims = Counter(images.values())
    pairs = {image: by_key[key][0] for image, key in images.items() if key in by_key and claims[key] == 1}
    left_images = _by_stem(images, pairs)
    left_masks = _by_stem(masks, pairs.values())
    for stem, rivals in left_images.items():
        candidates = [
            (image, mask)
            for image in rivals
            for mask in left_masks.get(stem, [])
            if _nested(images[image], masks[mask])
        ]
        claimed, wanted = Counter(image for image, _ in candidates), Counter(mask for _, mask in candidates)
        pairs |= {image: mask for image, mask in candidates if claimed[image] == wanted[mask] == 1}
    return pairs


def _by_stem(keys: _Keys, done: Iterable[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    done = set(done)
    groups: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path, key in keys.items():
        if path not in done:
            groups[bare_stem(key.stem)].append(path)
    return groups


def _nested(one: _Key, other: _Key) -> bool:
    """Whether one lies in folders that the other has too: never pair train/0001 with test/0001."""
    a, b = _folded(one.folder), _folded(other.folder)
    return a <= b or b <= a


@lru_cache(maxsize=4096)
def _folded(folder: tuple[str, ...]) -> frozenset[str]:
    return frozenset(part.casefold() for part in folder)


def _unique_ids(images: Mapping[PurePosixPath, _Key]) -> dict[PurePosixPath, str]:
    """The stem where it is unique, else the path without the folders that only say "images", else all of the path."""
    spellings = {
        path: ((stem := _key((), path.stem).stem), "/".join((*key.folder, stem)), path.as_posix())
        for path, key in images.items()
    }
    level = dict.fromkeys(images, 0)
    while True:
        ids = {path: spellings[path][level[path]] for path in images}
        uses = Counter(ids.values())
        clashes = [path for path in images if uses[ids[path]] > 1 and level[path] < 2]
        if not clashes:
            return ids
        for path in clashes:
            level[path] += 1
