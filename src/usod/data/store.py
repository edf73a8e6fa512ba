"""The HDF5 files of the workflow: one row per image of a data set.

A file is written under a temporary name, closed, opened again and verified, then renamed, so a file that exists is
whole. Every row carries a CRC-32 of its bytes; a reader that meets another value names the image.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import h5py
import numpy as np
from isal import isal_zlib

from usod.data.deflated import DAMAGED, Rows, how_stored
from usod.data.images import MAX_PIXELS
from usod.data.parallel import threaded_map
from usod.data.patient_file import NewHdf5, PatientFile
from usod.devices import cpu_cores
from usod.errors import UsodError
from usod.files import atomic_path
from usod.memory import room

VERSION = 1
FORMAT = "usod-store"
BLOCK = 16
"""Rows that a thread reads before it is given more."""
THREADS = 4
"""Threads that read rows, at most."""


class Named(Protocol):
    """A file or folder that holds something for each of `ids`."""

    path: Path
    ids: list[str]

    def __contains__(self, key: object) -> bool: ...


class Store:
    """Rows of equal shape in `dataset` of an HDF5 file, addressed by id or by row number.

    Attributes
    ----------
    ids : list of str
    original_size : (N, 2) int array, height and width of each image before it was resized
    attributes : dict with `created_by`, `config`, `inputs` (name -> sha256), `usod_version`

    Raises
    ------
    UsodError
        When the file is missing, foreign, truncated, incomplete, or a row fails its checksum.
    """

    dataset = "maps"
    versions: tuple[int, ...] = (VERSION,)
    dtypes: tuple[Any, ...] = (np.uint8, np.float16)
    deflated = True

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
        except FileNotFoundError:
            raise UsodError(f"{self.path}: no such file") from None
        except OSError as error:
            raise UsodError(
                f"{self.path}: not a readable HDF5 file (truncated?); delete it and make it again"
            ) from error
        try:
            self._open()
        except (KeyError, ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
            # What HDF5 and h5py raise for files that are damaged inside, or were never written by usod.
            self._file.close()
            raise UsodError(f"{self.path}: damaged ({_one_line(error)}); delete it and make it again") from error
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        attributes = dict(self._file.attrs)
        if attributes.get("format") != FORMAT or self.dataset not in self._file:
            raise UsodError(f"{self.path}: not a {type(self).__name__} (it has no {self.dataset!r} written by usod)")
        if attributes.get("version") not in self.versions:
            raise self._of_another_version(attributes)
        if not attributes.get("complete"):
            raise UsodError(f"{self.path}: incomplete, its writer was stopped; delete it and make it again")
        self._rows = Rows(self._table(self.dataset))
        self.ids: list[str] = list(self._table("ids").asstr()[:])
        self.original_size: np.ndarray = self._table("original_size")[:]
        self._checksum: np.ndarray = self._table("checksum")[:]
        if self._rows.ndim < 3 or np.prod(self._rows.shape[1:], dtype=float) > 3 * MAX_PIXELS:
            raise ValueError(f"rows of {self._rows.shape[1:]}")
        tables = (self._rows.dtype in self.dtypes, self.original_size.ndim == 2, self._checksum.ndim == 1)
        if not all(tables) or self.original_size.shape[1] != 2:
            raise ValueError("a table of another type or shape")
        for key in self.ids:
            # Ids become the names of files.
            if not key or "\0" in key or key.startswith("/") or ".." in key.split("/"):
                raise ValueError(f"an id {key!r} that is no relative path")
        self._number = {key: i for i, key in enumerate(self.ids)}
        if not len(self.ids) == len(self._rows) == len(self.original_size) == len(self._checksum) == len(self._number):
            raise UsodError(f"{self.path}: its tables differ in length; delete it and make it again")
        self.attributes: dict[str, Any] = {
            key: json.loads(value) if key in ("config", "inputs") else value for key, value in attributes.items()
        }

    def _of_another_version(self, attributes: Mapping[str, Any]) -> UsodError:
        version, maker = attributes.get("version"), str(attributes.get("created_by", "")).partition(",")[0]
        newer = isinstance(version, int | np.integer) and version > max(self.versions)
        again = f" with {maker!r}" if maker.startswith("usod ") else ""
        return UsodError(
            f"{self.path}: of version {version} of the format, this usod reads {max(self.versions)}: it is of "
            f"{'a newer' if newer else 'an older'} usod; {'update usod, or ' if newer else ''}delete the file and make "
            f"it again{again} (the workflow does so by itself once it is gone)"
        )

    def _table(self, name: str) -> h5py.Dataset:
        """A dataset of the file itself. HDF5 can also point into other files, and claim sizes that it does not hold."""
        if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
        table = self._file[name]
        if not isinstance(table, h5py.Dataset) or not table.shape or table.external or table.is_virtual:
            raise ValueError(f"{name} is no table of its own")
        if len(table) > max(self.path.stat().st_size, 1):
            raise ValueError(f"{name} claims {len(table)} rows, more than the file has bytes")
        return table

    @property
    def labels(self) -> str:
        """The human labels that went into it (`usod.human_labels`)."""
        return str(self.attributes.get("labels", "unknown"))

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, key: object) -> bool:
        return key in self._number

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row: (H, W), or (H, W, 3) for images."""
        return self._rows.shape[1:]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every row."""
        return self._rows.shape[1], self._rows.shape[2]

    def raw(self, key: str | int) -> np.ndarray:
        """One row as stored.

        Raises
        ------
        KeyError
            For an unknown id.
        UsodError
            If the row's bytes are not those that were written.
        """
        number = self._number[key] if isinstance(key, str) else key
        try:
            row = self._rows[number]
        except DAMAGED as error:
            raise self._damaged(number) from error
        if self._sum(row, number) != self._checksum[number]:
            raise self._damaged(number)
        return row

    def _sum(self, row: np.ndarray, number: int) -> int:
        """CRC-32 of all that is stored of a row."""
        return isal_zlib.crc32(np.ascontiguousarray(row).data)

    def _damaged(self, number: int) -> UsodError:
        return UsodError(f"{self.path}: image {self.ids[number]!r} is damaged; delete the file and make it again")

    def read_all(self, ids: Sequence[str] | None = None) -> np.ndarray:
        """All rows (or those of `ids`, in their order) as stored, in one array; on the disk if memory is short."""
        keys = self.ids if ids is None else ids
        out = room((len(keys), *self.shape), self._rows.dtype, self.path.parent)
        self.read_into(out, keys)
        return out

    def read_into(self, out: np.ndarray, ids: Sequence[str]) -> None:
        """Rows of `ids`, in their order, into an array (n, ...) of the stored type or, rounded to 0..255, of uint8."""

        def read(place: int) -> None:
            row = self.raw(ids[place])
            out[place] = row if row.dtype == out.dtype else to_uint8(to_unit(row))

        self._each(read, len(ids))

    def verify(self) -> None:
        """Read all rows. Raises UsodError as `raw`."""
        self._each(self.raw, len(self))

    def _each(self, work: Callable[[int], object], count: int) -> None:
        """Do the work of 0 .. count - 1, by blocks in threads: what is deflated is unpacked outside HDF5's lock."""

        def of_block(start: int) -> None:
            for number in range(start, min(start + BLOCK, count)):
                work(number)

        threads = min(THREADS, cpu_cores()) if self._rows.deflated else 1
        for _ in threaded_map(of_block, range(0, count, BLOCK), threads):
            pass

    def require(self, ids: Sequence[str]) -> None:
        """Raise UsodError naming the ids that this store lacks."""
        require_ids(self, ids)

    def require_like(self, other: "Store") -> None:
        """Raise UsodError if this store lacks ids of the other, or has rows of another size."""
        self.require(other.ids)
        if self.size != other.size:
            height, width = self.size
            raise UsodError(
                f"{self.path}: has {height}x{width}, but {other.path} {other.size[0]}x{other.size[1]}; "
                "make both at one size"
            )

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_ids(maps: Named, ids: Sequence[str]) -> None:
    """Raise UsodError when `maps` lacks some of `ids`, naming the first few."""
    missing = [key for key in ids if key not in maps]
    if missing:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise UsodError(f"{maps.path}: {len(missing)} of {len(ids)} images have no map here: {some}")


def to_unit(row: np.ndarray) -> np.ndarray:
    """Stored map -> float32 in [0, 1]."""
    return row.astype(np.float32) / np.float32(255) if row.dtype == np.uint8 else row.astype(np.float32)


def to_uint8(saliency: np.ndarray) -> np.ndarray:
    """Map in [0, 1] -> uint8, rounded to the nearest level; values outside are clipped."""
    return np.rint(np.clip(saliency, 0, 1) * 255).astype(np.uint8)


def require_finite(values: np.ndarray, name: str) -> None:
    """Raise ValueError, with `name`, where a float is not finite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are not finite")


class StoreWriter:
    """Fills the rows of a new store in any order; made by `write_maps` and `write_images`."""

    version = VERSION

    def __init__(self, rows: h5py.Dataset, ids: Sequence[str], target: PatientFile):
        self._rows = Rows(rows)
        self._target = target
        self._number = {key: i for i, key in enumerate(ids)}
        self._written = np.zeros(len(ids), bool)
        self.checksum = np.zeros(len(ids), np.uint32)

    def __setitem__(self, key: str | int, row: np.ndarray) -> None:
        """Write one row: a map in [0, 1] (float) or as stored (uint8), or an image (uint8).

        Raises
        ------
        ValueError
            If the row has another shape, or values that are not finite.
        OSError
            If the disk is full.
        """
        number = self._number[key] if isinstance(key, str) else key
        if row.shape != self._rows.shape[1:]:
            raise ValueError(f"row {key!r} has shape {row.shape}, the store holds {self._rows.shape[1:]}")
        require_finite(row, f"row {key!r}")  # as uint8 NaN would be any value
        if self._rows.dtype == np.uint8 and row.dtype != np.uint8:
            row = to_uint8(row)
        row = np.ascontiguousarray(row, self._rows.dtype)
        self._rows[number] = row
        self._target.check()
        self.checksum[number] = isal_zlib.crc32(row.data)
        self._written[number] = True

    def take(self, key: str, store: Store, theirs: str) -> None:
        """Copy the row `theirs` of another store as it is stored."""
        self[key] = store.raw(theirs)

    def fill(self, rows: Iterable[np.ndarray]) -> None:
        """Write all rows, in the order of the ids."""
        for key, row in zip(self._number, rows, strict=True):
            self[key] = row

    def missing(self) -> int:
        return int((~self._written).sum())

    def tables(self) -> dict[str, np.ndarray]:
        """What stands in the file beside the rows, once all are written."""
        return {"checksum": self.checksum}


@contextlib.contextmanager
def write_store(
    kind: type[Store],
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, ...],
    original_size: np.ndarray,
    attributes: Mapping[str, Any],
    dtype: str,
    writes: Callable[..., StoreWriter] = StoreWriter,
) -> Iterator[StoreWriter]:
    """Write a store of a `kind`, whole or not at all; as `write_maps`."""
    if len(set(ids)) != len(ids):
        raise UsodError(f"{path}: two images have the same id; ids must be unique")
    with atomic_path(path) as temporary:
        with NewHdf5(temporary) as new:
            file = new.file
            # HDF5 has no chunks for no rows: a part of a data set that has fewer images than parts.
            stored = how_stored(shape, np.dtype(dtype)) if kind.deflated else {"chunks": (1, *shape)}
            rows = file.create_dataset(kind.dataset, (len(ids), *shape), dtype, **(stored if ids else {}))
            file.create_dataset("ids", data=np.array(list(ids), dtype=object), dtype=h5py.string_dtype("utf-8"))
            file.create_dataset("original_size", data=np.asarray(original_size, np.int32).reshape(len(ids), 2))
            writer = writes(rows, ids, new.target)
            yield writer
            if writer.missing():
                raise UsodError(f"{path}: {writer.missing()} of {len(ids)} rows were not written")
            for name, table in writer.tables().items():
                file.create_dataset(name, data=table)
            for key, value in attributes.items():
                file.attrs[key] = json.dumps(value, sort_keys=True) if key in ("config", "inputs") else value
            file.attrs.update({"format": FORMAT, "version": writer.version, "complete": True})
        with kind(temporary) as written:
            written.verify()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
