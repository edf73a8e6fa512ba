"""How data sets lie on disk: which files are images, masks or lists of splits, and what the well-known sets hold.

Only names are read here, never a pixel: a layout is recognised by its folders, and an image finds its mask by their
common stem, never by the position in two sorted lists.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

from usod.data.tree import Files, Folders, subfolders_of

SPLIT_TABLE = "split.csv"
_SPLITS = {"tr": "train", "training": "train", "valid": "val", "validation": "val", "te": "test", "testing": "test"}
_ANY_SPLIT = "train|training|tr|val|valid|validation|test|testing|te"
# train.txt, valid_cvpr2013.txt (MSRA-B), testImgSet.mat (HKU-IS)
_LIST_FILE = re.compile(rf"^({_ANY_SPLIT})(?:[-_]?(?:list|set|imgset|images|cvpr2013))?\.(txt|lst|mat)$", re.I)
# train/, DUTS-TR/, DUTS-TE-Image/, my_test/
_SPLIT_FOLDER = re.compile(rf"^(?:.*[-_])?({_ANY_SPLIT})(?:[-_](?:image|images|img|imgs))?$", re.I)

_MASK_AFFIX = re.compile(
    r"^(?:gt(?:[-_ ]|(?=\d)))?(.+?)(?:[-_ ](?:mask|gt|seg|labels?|alpha|matte|groundtruth|ground_truth))?$", re.I
)

# Folder names, lower case; "*" as in the shell, "/" between the parts of a longer path.
IMAGE_FOLDERS = (
    *("image", "images", "img", "imgs", "rgb", "src", "jpegimages", "01_img", "src_color", "*-image", "*_image"),
    *("*-images", "*_images", "*-img", "*-imgs", "*_imgs"),
)
MASK_FOLDERS = (
    *("mask", "masks", "gt", "gts", "ground_truth", "groundtruth", "ground-truth", "ground_truth_mask"),
    *("segmentation", "segmentations", "annotation", "annotations", "segmentationclass", "02_gt", "human_seg"),
    *("*-mask", "*_mask", "*-masks", "*_masks", "*-gt", "*_gt", "pixelwisegt*"),
)
# A folder called so may as well hold photographs: it holds masks where there are other images of the same stems.
WEAK_MASK_FOLDERS = (
    *("label", "labels", "labelled", "labeled", "truth", "alpha", "alphas", "matte", "mattes", "seg", "segs"),
    *("silhouette", "silhouettes", "gt_*", "gt-*", "masks_*", "masks-*", "mask_*", "mask-*", "*-label", "*_label"),
    *("*-labels", "*_labels", "*-seg", "*_seg", "*-truth", "*_truth", "*-alpha", "*_alpha", "*-matte", "*_matte"),
    *("*-annotation", "*_annotation", "*-annotations", "*_annotations"),
)


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie below the root.

    Attributes
    ----------
    name, meaning : what to call it, and what it looks like
    image_folders, mask_folders : patterns of folder names; none: every folder
    twins : a .png beside another image file of the same stem is that image's mask
    votes : the mask is a folder with one coloured overlay per annotator
    """

    name: str
    meaning: str
    image_folders: tuple[str, ...] = ()
    mask_folders: tuple[str, ...] = ()
    twins: bool = False
    votes: bool = False


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("weizmann", "NAME/src_color beside NAME/human_seg", ("src_color",), ("human_seg",), votes=True),
        Layout("salobj", "datasets/imgs/pascal beside datasets/masks/pascal", ("imgs/pascal",), ("masks/pascal",)),
        Layout("folders", "images and masks in folders of such names", IMAGE_FOLDERS, MASK_FOLDERS, twins=True),
        Layout("flat", "image and mask of one stem in one folder", twins=True),
        Layout("images", "images only"),
    )
}


@dataclass(frozen=True)
class KnownSet:
    """A published data set: how to recognise a copy of it, and what a complete copy holds.

    Attributes
    ----------
    name : by which `layout` can name it
    expected : split -> number of images; "all": of the whole set, "masks": with a mask, where not every image has one
    names : patterns for the name of its root folder or of a folder directly in it
    signature : folders, all of which only this set has
    test_only : it has no training images
    rest : the split of the images that its own lists leave out
    divided_by : what says which of its images are for training and which for testing
    warning : which other data its images overlap
    """

    name: str
    expected: dict[str, int]
    names: tuple[str, ...]
    signature: tuple[str, ...] = ()
    test_only: bool = False
    rest: str | None = None
    divided_by: str = ""
    warning: str = ""

    @property
    def total(self) -> int:
        return self.expected.get("all") or sum(self.expected.values())


_MSRA = "MSRA-B and MSRA10K share images: never train on one and test on the other"
_DUTS = "DUTS-TR images come from ImageNet DET: a backbone with supervised ImageNet weights has seen them with labels"
_VOC = "PASCAL-S images come from PASCAL VOC: a backbone or prior trained on VOC has seen them with labels"

KNOWN_SETS = {
    known.name: known
    for known in (
        KnownSet("sed", {"all": 200}, ("sed",), test_only=True),  # both of the next two
        KnownSet("sed1", {"all": 100}, ("1obj", "*_1obj", "sed1"), test_only=True),
        KnownSet("sed2", {"all": 100}, ("2obj", "*_2obj", "sed2"), test_only=True),
        KnownSet("pascal-s", {"all": 850}, ("pascal[-_]s", "pascals", "salobj"), ("imgs/pascal",), True, warning=_VOC),
        KnownSet("msb-tr", {"all": 3000}, ("msb[-_]tr",), warning=_MSRA),
        KnownSet("msb-te", {"all": 2000}, ("msb[-_]te",), test_only=True, warning=_MSRA),
        KnownSet("msra10k", {"all": 10000}, ("msra10k*",), warning=_MSRA),
        KnownSet(
            "msra-b",
            {"train": 2500, "val": 500, "test": 2000},
            ("msra[-_]b", "msrab", "msra5k"),
            rest="test",
            divided_by="train_cvpr2013.txt, valid_cvpr2013.txt and test_cvpr2013.txt",
            warning=_MSRA,
        ),
        KnownSet(
            "dut-omron",
            {"all": 5168},
            ("dut[-_]omron", "dutomron", "dut[-_]o"),
            ("dut-omron-image", "pixelwisegt*"),
            test_only=True,
        ),
        KnownSet("duts-tr", {"train": 10553}, ("duts[-_]tr",), warning=_DUTS),
        KnownSet("duts-te", {"test": 5019}, ("duts[-_]te",), test_only=True),
        KnownSet(
            "duts",
            {"train": 10553, "test": 5019},
            ("duts",),
            ("duts-t?-image",),
            divided_by="the folders DUTS-TR and DUTS-TE",
            warning=_DUTS,
        ),
        KnownSet(
            "hku-is",
            {"all": 4447, "train": 2500, "val": 500, "test": 1447},
            ("hku[-_]is", "hkuis"),
            divided_by="trainImgSet.mat, valImgSet.mat and testImgSet.mat",
        ),
        KnownSet(
            "thur15k",
            {"all": 15000, "masks": 6233},
            ("thur15k", "thur15000", "thur"),
            ("butterfly", "coffeemug", "dogjump"),
            test_only=True,
        ),
        # ECSSD and its predecessor come in archives of the same names: their sizes tell them apart.
        KnownSet("ecssd", {"all": 1000}, ("ecssd",), ("ground_truth_mask",), test_only=True),
        KnownSet("cssd", {"all": 200}, ("cssd",), ("ground_truth_mask",), test_only=True),
        KnownSet("sod", {"all": 300}, ("sod",), test_only=True),
    )
}


def detect(files: Files) -> Layout:
    """The first layout of the table whose traits the tree has."""
    for name in ("weizmann", "salobj"):
        layout = LAYOUTS[name]
        if any(find_folder(folder, layout.image_folders) for folder in files.folders):
            return layout
    layout = folders_layout(files)
    roles = {role_of(path.parts[:-1], layout)[0] for path in files.images}
    if "image" in roles or {"mask", None} <= roles:
        return layout
    return LAYOUTS["flat" if have_twins(files.images) else "images"]


def folders_layout(files: Files) -> Layout:
    """The layout `folders` with the names for masks that this tree uses.

    Where no folder is called as in MASK_FOLDERS, those of WEAK_MASK_FOLDERS count of whose files most have stems of
    other images.
    """
    base = LAYOUTS["folders"]
    weak: dict[str, set[str]] = defaultdict(set)
    others: set[str] = set()
    stems: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in files.images:
        stems[path.parts[:-1]].add(bare_stem(path.stem))
    for folder, of_folder in stems.items():
        if role_of(folder, base)[0] == "mask":
            weak.clear()
            break
        match = find_folder([part.casefold() for part in folder], WEAK_MASK_FOLDERS)
        (weak[match[2]] if match else others).update(of_folder)
    fitting = [pattern for pattern, of_masks in weak.items() if 2 * len(of_masks & others) > len(of_masks)]
    patterns = (*base.mask_folders, *fitting)
    names = (*_names_of_their_own(files, patterns), *patterns)
    return base if names == base.mask_folders else replace(base, mask_folders=names)


def _names_of_their_own(files: Files, patterns: Sequence[str]) -> list[str]:
    """Folders of masks such as `my_masks` where no other folder is called `my`: it says nothing of the masks."""
    parts = {part for folder in files.folders for part in folder}
    shared = parts | {prefix for part in parts for prefix in _prefixes(part, IMAGE_FOLDERS)}
    return sorted(part for part in parts if (found := _prefixes(part, patterns)) and not found & shared)


def _prefixes(part: str, patterns: Sequence[str]) -> set[str]:
    """What "*" stands for at the start of the patterns that fit."""
    starred = [pattern for pattern in patterns if pattern.startswith("*") and fnmatchcase(part, pattern)]
    return {part[: len(part) - len(pattern) + 1] for pattern in starred}


def recognise(root: Path, folders: Sequence[tuple[str, ...]], count: int) -> KnownSet | None:
    """The published set whose name or folders these are; of several, the one whose size is nearest."""
    name = root.resolve().name.casefold()
    if any(fnmatchcase(name, pattern) for pattern in IMAGE_FOLDERS):
        name = root.resolve().parent.name.casefold()
    children = {folder[0] for folder in folders if folder}

    def named(known: KnownSet, candidates: Iterable[str]) -> bool:
        return any(fnmatchcase(candidate, pattern) for candidate in candidates for pattern in known.names)

    def signed(known: KnownSet) -> bool:
        return bool(known.signature) and all(
            any(find_folder(folder, (pattern,)) for folder in folders) for pattern in known.signature
        )

    sets = KNOWN_SETS.values()
    matches = (
        [known for known in sets if named(known, [name])]
        or [known for known in sets if signed(known)]
        or [known for known in sets if named(known, children)]
    )
    return min(matches, key=lambda known: abs(known.total - count), default=None)


def find_folder(folder: Sequence[str], patterns: Iterable[str]) -> tuple[int, int, str] | None:
    """Where a pattern occurs in the (lower-case) parts of a path: start, end and pattern of the deepest match."""
    best = None
    for pattern in patterns:
        wanted = pattern.split("/")
        for start in range(len(folder) - len(wanted) + 1):
            end = start + len(wanted)
            if all(map(fnmatchcase, folder[start:end], wanted)) and (best is None or end > best[1]):
                best = (start, end, pattern)
    return best


@lru_cache(maxsize=4096)
def role_of(folder: tuple[str, ...], layout: Layout) -> tuple[str | None, tuple[str, ...]]:
    """What the files of a folder are, "image", "mask" or None, and the parts of its path that do not say so.

    `DUTS-TR/DUTS-TR-Image` and `DUTS-TR/DUTS-TR-Mask` both leave `DUTS-TR/DUTS-TR`: what "*" stands for is kept.
    """
    lower = [part.casefold() for part in folder]
    found = {
        role: match
        for role, patterns in (("image", layout.image_folders), ("mask", layout.mask_folders))
        if (match := find_folder(lower, patterns))
    }
    if not found:
        return None, folder
    role = max(found, key=lambda key: found[key][1])
    start, end, pattern = found[role]
    kept = (folder[start][: len(folder[start]) - len(pattern) + 1],) if pattern.startswith("*") else ()
    rest = folder[:start] + kept + folder[end:]
    # DUT-OMRON-image/DUT-OMRON-image: an archive unpacked into a folder of its own name.
    deeper_role, deeper = role_of(rest, layout)
    return role, deeper if deeper_role == role else rest


def bare_stem(stem: str) -> str:
    """The stem in lower case without what only says that it is a mask: `GT12`, `12_mask` and `12-gt` give `12`."""
    return _MASK_AFFIX.sub(r"\1", stem).casefold()


def twins(images: Iterable[PurePosixPath]) -> dict[PurePosixPath, PurePosixPath]:
    """mask -> image for two files of one folder and stem: the .png, or the one named as a mask, is the mask."""
    groups: dict[tuple[tuple[str, ...], str], list[PurePosixPath]] = defaultdict(list)
    for path in images:
        groups[path.parts[:-1], bare_stem(path.stem)].append(path)
    found = {}
    for group in groups.values():
        photographs = [
            path for path in group if path.suffix.lower() != ".png" and bare_stem(path.stem) == path.stem.casefold()
        ]
        if not photographs:
            photographs = [path for path in group if bare_stem(path.stem) == path.stem.casefold()]
        if len(photographs) == 1 and len(group) == 2:
            (mask,) = (path for path in group if path != photographs[0])
            if mask.suffix.lower() == ".png" or bare_stem(mask.stem) != mask.stem.casefold():
                found[mask] = photographs[0]
    return found


def have_twins(images: Sequence[PurePosixPath]) -> bool:
    """Whether masks lie beside their images. A few photographs saved twice make no masks; THUR15K has masks for 41%."""
    found = len(twins(images))
    return found > 0 and found >= 0.25 * (len(images) - found)


def split_lists(root: str | Path, without: Folders = None) -> dict[str, Path]:
    """split -> the file that lists its images, such as `train.txt` or `testImgSet.mat`, in `root` or a folder of it."""
    lists = {}
    for folder in (*reversed(subfolders_of(root, without)), str(root)):  # last: a list in the root overrides the others
        for name in sorted(os.listdir(folder)):  # noqa: PTH208  (runs over whole data sets)
            if (match := _LIST_FILE.match(name)) and (path := Path(folder, name)).is_file():
                lists[canonical_split(match[1])] = path
    return lists


def split_of_folder(name: str) -> str | None:
    """The split that a folder is named after, if any: `DUTS-TR` and `train` give "train"."""
    match = _SPLIT_FOLDER.match(name)
    return canonical_split(match[1]) if match else None


def canonical_split(name: str) -> str:
    """`training`, `TR` -> "train", and so on; names that are none of these stay as they are."""
    lower = name.strip().casefold()
    return _SPLITS.get(lower, lower if lower in ("train", "val", "test") else name.strip())
