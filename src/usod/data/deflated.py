"""Rows of an HDF5 data set as HDF5's own deflate filter stores them, packed and unpacked outside the library.

So every reader of HDF5 knows them, while ISA-L takes a quarter of zlib's time, and several threads work at once, which
HDF5's lock does not let them. The packed bytes may differ between processors; what they hold does not.
"""

import math
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

LEVEL = 1
DAMAGED: Any = (ValueError, IsalError, OSError, RuntimeError, MemoryError)  # its stubs take IsalError for an instance
"""What reading a row raises where the stored bytes are not those of a row."""


def how_stored(row_shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    """Arguments of `h5py.Group.create_dataset`: each row is a chunk, deflated, its bytes shuffled if it has several."""
    return {
        "chunks": (1, *row_shape),
        "shuffle": dtype.itemsize > 1,
        "compression": "gzip",
        "compression_opts": LEVEL,
    }


class Rows:
    """The rows of a data set, whose description is asked of HDF5 once: at every row, that took a quarter of the time.

    Attributes
    ----------
    shape, dtype, ndim : those of the data set
    deflated : whether the rows are stored as `how_stored` says, and so packed and unpacked here
    """

    def __init__(self, table: h5py.Dataset) -> None:
        self._table = table
        self.shape: tuple[int, ...] = table.shape
        self.dtype: np.dtype = table.dtype
        self.ndim: int = table.ndim
        self._shuffled = self.dtype.itemsize > 1
        as_stored = table.chunks == (1, *self.shape[1:]) and table.compression == "gzip"
        self.deflated: bool = as_stored and table.shuffle == self._shuffled
        self._bytes = math.prod(self.shape[1:]) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, number: int, row: np.ndarray) -> None:
        """Write a row, contiguous and of the shape and type of the data set."""
        if not self.deflated:
            self._table[number] = row
            return
        stored = row
        if self._shuffled:
            stored = np.ascontiguousarray(row.view(np.uint8).reshape(-1, row.itemsize).T)
        self._table.id.write_direct_chunk(self._place(number), isal_zlib.compress(stored, LEVEL))

    def __getitem__(self, number: int) -> np.ndarray:
        """One row.

        Raises
        ------
        DAMAGED
            If the file is damaged there, or lacks the row.
        """
        if not self.deflated:
            return self._table[number]
        skipped, packed = self._table.id.read_direct_chunk(self._place(number))
        if skipped:  # a filter that was left out for this row
            return self._table[number]
        content = isal_zlib.decompressobj().decompress(packed, self._bytes + 1)  # however much there is in it
        if not self._shuffled:
            return np.frombuffer(content, self.dtype).reshape(self.shape[1:])
        parts = np.frombuffer(content, np.uint8).reshape(self.dtype.itemsize, -1)
        return np.ascontiguousarray(parts.T).view(self.dtype).reshape(self.shape[1:])

    def _place(self, number: int) -> tuple[int, ...]:
        return (number, *(0,) * (self.ndim - 1))
