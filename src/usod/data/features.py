"""Features of a frozen encoder, kept: one grid of vectors per image, in the manner of a MapStore.

Stored are float16 numbers, or int8 ones with a scale for every channel of every image, which take half the room. An
image is one chunk, so that batches are read in any order, and memory does not grow with the number of images.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from usod.data.mapstore import ImageStore
from usod.data.store import Store, StoreWriter, write_store
from usod.errors import UsodError
from usod.provenance import file_digest


class FeatureStore(Store):
    """Feature grids (h, w, C) by id; `size` is (h, w). Attributes and errors as `Store`.

    Attributes
    ----------
    scale : (N, C) float16, what an int8 value of 1 stands for; None of float16 rows
    """

    dataset = "features"
    dtypes = (np.float16, np.int8)
    deflated = False  # such numbers do not get smaller
    scale: np.ndarray | None = None

    def _open(self) -> None:
        super()._open()
        if self._rows.ndim != 4:
            raise ValueError(f"rows of {self._rows.shape[1:]}")
        if self._rows.dtype == np.int8:
            self.scale = self._table("scale")[:]
            if self.scale.shape != (len(self.ids), self.shape[-1]) or self.scale.dtype != np.float16:
                raise ValueError("scales of another type or shape")

    def _sum(self, row: np.ndarray, number: int) -> int:
        checksum = super()._sum(row, number)
        return checksum if self.scale is None else isal_zlib.crc32(self.scale[number], checksum)

    def __getitem__(self, key: str | int) -> np.ndarray:
        """(h, w, C) float32."""
        number = self._number[key] if isinstance(key, str) else key
        row = self.raw(number).astype(np.float32)
        return row if self.scale is None else row * self.scale[number]

    def scales(self, ids: Sequence[str]) -> np.ndarray:
        """Rows of `scale` for these images, (n, C)."""
        assert self.scale is not None
        return self.scale[[self._number[key] for key in ids]]

    @property
    def dtype(self) -> np.dtype:
        """float16 or int8."""
        return self._rows.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(np.prod(self._rows.shape, dtype=np.int64)) * self._rows.dtype.itemsize

    @property
    def encoder(self) -> dict[str, Any]:
        """What made them (`NetworkConfig.encoder`), with the digest of its weights."""
        return dict(self.attributes["config"].get("encoder", {}))

    def require_for(self, images: ImageStore, encoder: Mapping[str, Any]) -> None:
        """Raise UsodError where they are of other images, or another encoder made them (as the attribute `encoder`)."""
        self.require(images.ids)
        if self.attributes["inputs"].get("images") != file_digest(images.path):
            raise UsodError(
                f"{self.path}: features of other images than {images.path}; make them again (usod features)"
            )
        self.require_of(encoder)

    def require_of(self, encoder: Mapping[str, Any]) -> None:
        """Raise UsodError where another encoder made them than this one (as the attribute `encoder`)."""
        differing = [key for key in encoder if self.encoder.get(key) != encoder[key]]
        if differing:
            key = differing[0]
            raise UsodError(
                f"{self.path}: features of an encoder with {key} {self.encoder.get(key)!r}, but the network's has "
                f"{encoder[key]!r}; make them again (usod features)"
            )


class FeatureWriter(StoreWriter):
    """Fills a FeatureStore; made by `write_features`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._scale = np.zeros((len(self.checksum), self._rows.shape[-1]), np.float16)

    def __setitem__(self, key: str | int, row: np.ndarray) -> None:
        """Write one grid (h, w, C) of floats.

        Raises
        ------
        UsodError
            If a value is not finite, or too large for what is stored.
        """
        number = self._number[key] if isinstance(key, str) else key
        largest = float(np.abs(row).max(initial=0))
        if not largest <= float(np.finfo(np.float16).max):
            raise UsodError(f"features of {key!r} are not finite as float16; use another layer of the encoder")
        if self._rows.dtype == np.int8:
            self._scale[number], row = quantised(row)
        super().__setitem__(number, row)
        if self._rows.dtype == np.int8:
            self.checksum[number] = isal_zlib.crc32(self._scale[number], int(self.checksum[number]))

    def take(self, key: str, store: Store, theirs: str) -> None:
        """Copy a grid as it is stored, with its scales."""
        number = self._number[key]
        super().__setitem__(number, store.raw(theirs))
        if isinstance(store, FeatureStore) and store.scale is not None:
            self._scale[number] = store.scales([theirs])[0]
            self.checksum[number] = isal_zlib.crc32(self._scale[number], int(self.checksum[number]))

    def tables(self) -> dict[str, np.ndarray]:
        return super().tables() | ({"scale": self._scale} if self._rows.dtype == np.int8 else {})


def quantised(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (h, w, C) -> scales (C,) float16, values (h, w, C) int8; their product is off by half a scale at most.

    The scale of a channel is its largest magnitude in the image over 127.
    """
    largest = np.abs(features).max((0, 1)).astype(np.float32)
    # Up to the next float16: rounded down, the largest value would lie beyond 127.
    scale = np.maximum(np.nextafter((largest / 127).astype(np.float16), np.float16(np.inf)), np.float16(6e-8))
    return scale, np.rint(features / scale.astype(np.float32)).astype(np.int8)


@contextlib.contextmanager
def write_features(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int, int],
    original_size: np.ndarray,
    attributes: Mapping[str, Any],
    dtype: str = "float16",
) -> Iterator[StoreWriter]:
    """Write a FeatureStore of (h, w, C) rows, float16 or int8; as `usod.data.mapstore.write_maps`."""
    with write_store(FeatureStore, path, ids, shape, original_size, attributes, dtype, FeatureWriter) as writer:
        yield writer


@contextlib.contextmanager
def open_features(path: Path | None) -> Iterator[FeatureStore | None]:
    """The features of a step's `--features`; None where none were given, and the encoder sees the images itself."""
    if path is None:
        yield None
        return
    with FeatureStore(path) as store:
        yield store
