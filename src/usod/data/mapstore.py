"""Saliency maps and images of a data set, one per row of an HDF5 file (`usod.data.store`).

All have one working size, but for maps that were made to be scored: those may have each its image's own size.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from usod.data.map_folder import MapFolder
from usod.data.store import Named, Store, StoreWriter, require_finite, to_uint8, to_unit, write_store
from usod.errors import UsodError
from usod.files import atomic_path


class Maps(Named, Protocol):
    """Anything that serves one saliency map per id: a MapStore, a folder of PNG files."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: str) -> np.ndarray: ...


class MapStore(Store):
    """Saliency maps, (H, W) each, stored as uint8 (0..255 = [0, 1]) or float16.

    Where they have their images' own sizes, `own_size` is true and they have no common `size`: UsodError. Rows are then
    as large as the largest image, and each map lies in the upper left corner of its row.
    """

    def _open(self) -> None:
        super()._open()
        if self.own_size and not ((self.original_size > 0) & (self.original_size <= self._rows.shape[1:])).all():
            raise ValueError("images that are larger than its rows")

    @property
    def own_size(self) -> bool:
        """Whether every map has the size of its image."""
        return bool(self.attributes.get("own_size", False))

    @property
    def shape(self) -> tuple[int, ...]:
        if self.own_size:
            raise UsodError(f"{self.path}: its maps have their images' sizes, and this needs maps of one working size")
        return super().shape

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.shape
        return height, width

    def raw(self, key: str | int) -> np.ndarray:
        row = super().raw(key)
        if not self.own_size:
            return row
        height, width = self.original_size[self._number[key] if isinstance(key, str) else key]
        return row[:height, :width]

    def __getitem__(self, key: str | int) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        return to_unit(self.raw(key))

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((key, self[key]) for key in self.ids)


class ImageStore(Store):
    """Images at working size, (H, W, 3) uint8 RGB."""

    dataset = "images"

    def __getitem__(self, key: str | int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return self.raw(key)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((key, self[key]) for key in self.ids)


def write_map(path: str | Path, saliency: np.ndarray) -> None:
    """Write one map, (H, W) in [0, 1], as an 8-bit grey PNG; whole or not at all. Raises ValueError for NaN."""
    require_finite(saliency, str(path))
    with atomic_path(path) as temporary:
        Image.fromarray(to_uint8(saliency)).save(temporary, format="png")


def open_maps(path: str | Path) -> MapStore | MapFolder:
    """A MapStore file or a folder of map images behind one interface."""
    return MapFolder(path) if Path(path).is_dir() else MapStore(path)


@contextlib.contextmanager
def write_maps(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int] | None,
    original_size: np.ndarray,
    attributes: Mapping[str, Any],
    dtype: str = "uint8",
) -> Iterator[StoreWriter]:
    """Write a MapStore: `with write_maps(...) as rows: rows[id] = map`.

    Parameters
    ----------
    ids : unique identifiers, one per row
    shape : (H, W) of every map; None: each has its `original_size`
    original_size : (N, 2) height and width of the images
    attributes : `created_by`, `config`, `inputs`, `usod_version` (see `provenance.describe`)
    dtype : "uint8" or "float16"

    Raises
    ------
    UsodError
        If the disk is full or a row was not written; then nothing is left behind.
    """
    writes: Any = StoreWriter
    if shape is None:
        sizes = np.asarray(original_size, int).reshape(len(ids), 2)
        height, width = map(int, sizes.max(0, initial=1))
        shape, attributes, writes = (height, width), {**attributes, "own_size": True}, partial(OwnSizeWriter, sizes)
    with write_store(MapStore, path, ids, shape, original_size, attributes, dtype, writes) as writer:
        yield writer


class OwnSizeWriter(StoreWriter):
    """Fills the rows of a store whose maps have each its image's size: `sizes`, (N, 2) height and width."""

    def __init__(self, sizes: np.ndarray, *arguments: Any):
        super().__init__(*arguments)
        self._sizes = sizes

    def __setitem__(self, key: str | int, row: np.ndarray) -> None:
        size = tuple(self._sizes[self._number[key] if isinstance(key, str) else key])
        if row.shape != size:
            raise ValueError(f"row {key!r} has shape {row.shape}, its image {size}")
        whole = np.zeros(self._rows.shape[1:], row.dtype)
        whole[: size[0], : size[1]] = row
        super().__setitem__(key, whole)


@contextlib.contextmanager
def write_images(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int],
    original_size: np.ndarray,
    attributes: Mapping[str, Any],
) -> Iterator[StoreWriter]:
    """Write an ImageStore of (H, W, 3) uint8 rows; as `write_maps`."""
    with write_store(ImageStore, path, ids, (*shape, 3), original_size, attributes, "uint8") as writer:
        yield writer
