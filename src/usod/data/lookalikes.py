"""Folders of masks that no name tells: they would be trained on as if they were photographs."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from usod.data.images import read_image
from usod.data.layouts import bare_stem
from usod.data.pairing import DataSet
from usod.errors import UsodError

_SAMPLE = 6
_FEW_COLOURS = 16


class Lookalike(NamedTuple):
    """A folder whose files look like the masks of another folder's images."""

    masks: Path
    images: Path
    shared: int

    def __str__(self) -> str:
        return (
            f"{self.masks} looks like the masks of {self.images}: {self.shared} of its files have the names of files "
            "there, and are grey or of few colours"
        )


REMEDY = (
    "give the folder of the photographs alone, or say which it is: --masks FOLDER (datasets.NAME.masks) for masks, "
    "--layout images (datasets.NAME.layout) for more photographs"
)


def masks_among_images(data: DataSet) -> list[Lookalike]:
    """The folders of images that look like masks of the images of another folder.

    Most of the stems of such a folder are those of another folder too, and of a few files of each all of the one are
    grey or of few colours, and fewer than half of the other. Pictures are opened only where the stems agree.
    """
    files: dict[Path, list[Path]] = defaultdict(list)
    holders: dict[str, set[Path]] = defaultdict(set)
    for item in data.items:
        files[item.image.parent].append(item.image)
        holders[bare_stem(item.image.stem)].add(item.image.parent)
    found = []
    for folder, images in sorted(files.items()):
        shared = [image for image in images if len(holders[bare_stem(image.stem)]) > 1]
        if 2 * len(shared) <= len(images):
            continue
        sample = _some(images)
        for looks_so in (_is_grey, _has_few_colours):
            if not all(looks_so(image) for image in sample):
                continue
            # Most folders end before this: it is slow where a thousand folders number their files alike.
            others = Counter(other for image in shared for other in holders[bare_stem(image.stem)] - {folder})
            other, count = max(others.items(), key=lambda pair: (pair[1], str(pair[0])))
            partners = _some(files[other])
            if 2 * count > len(images) and 2 * sum(map(looks_so, partners)) < len(partners):
                found.append(Lookalike(folder, other, count))
                break
    return found


def _some(images: Sequence[Path]) -> list[Path]:
    return list(images[:: -(-len(images) // _SAMPLE)])


def _readable(judge: Callable[[np.ndarray], bool]) -> Callable[[Path], bool]:
    def of_file(path: Path) -> bool:
        try:
            return judge(read_image(path))
        except UsodError:  # the step that reads it reports it
            return False

    return of_file


@_readable
def _is_grey(image: np.ndarray) -> bool:
    return bool((image == image[..., :1]).all())


@_readable
def _has_few_colours(image: np.ndarray) -> bool:
    return len(np.unique(image.reshape(-1, 3), axis=0)) <= _FEW_COLOURS
