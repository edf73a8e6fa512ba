"""Rows of an HDF5 data set as HDF5's own deflate filter stores them, packed and unpacked outside the library.

So every reader of HDF5 knows them, while ISA-L takes a quarter of zlib's time, and several threads work at once, which
HDF5's lock does not let them. The packed bytes may differ between processors; what they hold does not.
"""

from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

LEVEL = 1
DAMAGED: Any = (ValueError, IsalError, OSError, RuntimeError, MemoryError)  # its stubs take IsalError for an instance
"""What `read_row` raises where the stored bytes are not those of a row."""


def how_stored(row_shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    """Arguments of `h5py.Group.create_dataset`: each row is a chunk, deflated, its bytes shuffled if it has several."""
    return {
        "chunks": (1, *row_shape),
        "shuffle": dtype.itemsize > 1,
        "compression": "gzip",
        "compression_opts": LEVEL,
    }


def is_deflated(rows: h5py.Dataset) -> bool:
    """Whether `write_row` and `read_row` serve a data set: one made as `how_stored` says."""
    as_stored = rows.chunks == (1, *rows.shape[1:]) and rows.compression == "gzip"
    return as_stored and rows.shuffle == (rows.dtype.itemsize > 1)


def write_row(rows: h5py.Dataset, number: int, row: np.ndarray) -> None:
    """`rows[number] = row`, for a contiguous row of the shape and type of the data set."""
    stored = row
    if rows.shuffle:
        stored = np.ascontiguousarray(row.view(np.uint8).reshape(-1, row.itemsize).T)
    rows.id.write_direct_chunk(_place(rows, number), isal_zlib.compress(stored, LEVEL))


def read_row(rows: h5py.Dataset, number: int) -> np.ndarray:
    """`rows[number]`.

    Raises
    ------
    DAMAGED
        If the file is damaged there, or lacks the row.
    """
    skipped, packed = rows.id.read_direct_chunk(_place(rows, number))
    if skipped:  # a filter that was left out for this row
        return rows[number]
    size = int(np.prod(rows.shape[1:])) * rows.dtype.itemsize
    content = isal_zlib.decompressobj().decompress(packed, size + 1)  # however much there is in it
    if not rows.shuffle:
        return np.frombuffer(content, rows.dtype).reshape(rows.shape[1:])
    parts = np.frombuffer(content, np.uint8).reshape(rows.dtype.itemsize, -1)
    return np.ascontiguousarray(parts.T).view(rows.dtype).reshape(rows.shape[1:])


def _place(rows: h5py.Dataset, number: int) -> tuple[int, ...]:
    return (number, *(0,) * (rows.ndim - 1))
