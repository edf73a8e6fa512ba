"""Saliency maps and images of a data set, one per row of an HDF5 file (`usod.data.store`)."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from usod.data.images import resize_map, write_png
from usod.data.map_folder import MapFolder
from usod.data.store import VERSION, Named, Store, StoreWriter, require_finite, to_uint8, to_unit, write_store
from usod.errors import UsodError
from usod.files import atomic_path

WITH_SIZES = 2
"""Of the format, where maps have sizes of their own: an older usod would serve the rows that they lie in."""


class Maps(Named, Protocol):
    """Anything that serves one saliency map per id: a MapStore, a folder of PNG files."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: str) -> np.ndarray: ...

    def sizes_of(self, ids: Sequence[str]) -> np.ndarray: ...


class MapStore(Store):
    """Saliency maps, (H, W) each, stored as uint8 (0..255 = [0, 1]) or float16.

    All are of one size, or each has its own, as handcrafted and imported maps have; those are served at the size of a
    set of images after `serve_at` or `fit_to`. In the file they fill the corner of rows that hold the largest.

    Attributes
    ----------
    sizes : (N, 2) int array, height and width of every map, where they have sizes of their own; else None
    """

    versions = (VERSION, WITH_SIZES)
    sizes: np.ndarray | None = None
    _fitted: tuple[int, int] | None = None

    def _open(self) -> None:
        super()._open()
        if "sizes" in self._file:
            self.sizes = self._table("sizes")[:]
            if self.sizes.shape != (len(self.ids), 2) or not (self.sizes > 0).all():
                raise ValueError("sizes of another shape, or none")
            if (self.sizes > self._rows.shape[1:]).any():
                raise ValueError("sizes that exceed their rows")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every map. Raises UsodError where each has its own and they are not served at another."""
        if self.sizes is None:
            return super().size
        if self._fitted is None:
            raise UsodError(f"{self.path}: its maps have sizes of their own")
        return self._fitted

    @property
    def shape(self) -> tuple[int, ...]:
        """`size`."""
        return self.size

    def sizes_of(self, ids: Sequence[str]) -> np.ndarray:
        """(n, 2) int, height and width of these maps as they are served; UsodError where one is missing."""
        self.require(ids)
        if self.sizes is None or self._fitted is not None:
            return np.tile(self.size, (len(ids), 1))
        return self.sizes[[self._number[key] for key in ids]]

    def serve_at(self, size: tuple[int, int]) -> None:
        """From here on resize maps that have sizes of their own to (H, W); maps of one size stay as they are."""
        if self.sizes is not None:
            self._fitted = size

    def fit_to(self, images: Store) -> None:
        """`serve_at` the size of these images; UsodError where one has no map here, or all have another size."""
        self.serve_at(images.size)
        self.require_like(images)

    def raw(self, key: str | int) -> np.ndarray:
        """One map as stored, or resized bilinearly to where it is served; errors as `Store.raw`."""
        row = super().raw(key)
        if self.sizes is None:
            return row
        height, width = self.sizes[self._number[key] if isinstance(key, str) else key]
        row = row[:height, :width]
        if self._fitted in (None, row.shape):
            return row
        fitted = resize_map(to_unit(row), self._fitted)
        return to_uint8(fitted) if row.dtype == np.uint8 else fitted.astype(row.dtype)

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
        write_png(temporary, to_uint8(saliency))


def open_maps(path: str | Path) -> MapStore | MapFolder:
    """A MapStore file or a folder of map images behind one interface."""
    return MapFolder(path) if Path(path).is_dir() else MapStore(path)


@contextlib.contextmanager
def write_maps(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int] | np.ndarray,
    original_size: np.ndarray,
    attributes: Mapping[str, Any],
    dtype: str = "uint8",
) -> Iterator[StoreWriter]:
    """Write a MapStore: `with write_maps(...) as rows: rows[id] = map`.

    Parameters
    ----------
    ids : unique identifiers, one per row
    shape : (H, W) of every map; an (N, 2) array: of each its own
    original_size : (N, 2) height and width of the images
    attributes : `created_by`, `config`, `inputs`, `usod_version` (see `provenance.describe`)
    dtype : "uint8" or "float16"

    Raises
    ------
    UsodError
        If the disk is full or a row was not written; then nothing is left behind.
    """
    writes: Callable[..., StoreWriter] = StoreWriter
    whole: tuple[int, ...] = tuple(shape)
    if isinstance(shape, np.ndarray):
        writes = partial(OwnSizes, np.asarray(shape, np.int32))
        whole = tuple(int(side) for side in shape.max(0, initial=1))
    with write_store(MapStore, path, ids, whole, original_size, attributes, dtype, writes) as writer:
        yield writer


class OwnSizes(StoreWriter):
    """Fills rows of one shape with maps of (N, 2) `sizes`."""

    version = WITH_SIZES

    def __init__(self, sizes: np.ndarray, *rest: Any) -> None:
        super().__init__(*rest)
        self._sizes = sizes

    def __setitem__(self, key: str | int, row: np.ndarray) -> None:
        """As `StoreWriter`'s; ValueError if the map has another size than it was to have."""
        size = tuple(self._sizes[self._number[key] if isinstance(key, str) else key])
        if row.shape != size:
            raise ValueError(f"row {key!r} has shape {row.shape}, the store was to hold {size}")
        padded = np.zeros(self._rows.shape[1:], row.dtype)
        padded[: size[0], : size[1]] = row
        super().__setitem__(key, padded)

    def tables(self) -> dict[str, np.ndarray]:
        return super().tables() | {"sizes": self._sizes}


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
