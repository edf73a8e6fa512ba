"""Saliency maps and images of a data set, one per row of an HDF5 file (`usod.data.store`), all of one working size."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from usod.data.map_folder import MapFolder
from usod.data.store import Named, Store, StoreWriter, require_finite, to_uint8, to_unit, write_store
from usod.files import atomic_path


class Maps(Named, Protocol):
    """Anything that serves one saliency map per id: a MapStore, a folder of PNG files."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: str) -> np.ndarray: ...


class MapStore(Store):
    """Saliency maps, (H, W) each, stored as uint8 (0..255 = [0, 1]) or float16."""

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
    shape: tuple[int, int],
    original_size: np.ndarray,
    attributes: Mapping[str, Any],
    dtype: str = "uint8",
) -> Iterator[StoreWriter]:
    """Write a MapStore: `with write_maps(...) as rows: rows[id] = map`.

    Parameters
    ----------
    ids : unique identifiers, one per row
    shape : (H, W) of every map
    original_size : (N, 2) height and width of the images
    attributes : `created_by`, `config`, `inputs`, `usod_version` (see `provenance.describe`)
    dtype : "uint8" or "float16"

    Raises
    ------
    UsodError
        If the disk is full or a row was not written; then nothing is left behind.
    """
    with write_store(MapStore, path, ids, shape, original_size, attributes, dtype) as writer:
        yield writer


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
