"""Finished maps of a run that was killed or met a broken image, kept for the next one.

A MapStore is written whole or not at all, so the maps wait in a file of their own until all are there. It is only ever
appended to, one record per map, and every record has a checksum: a kill can cut off the last one and harm no other.
"""

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from usod.files import explained

_RECORD = struct.Struct("<32sIII")  # key, height, width, CRC-32 of the pixels


class PartialMaps:
    """Maps (H, W) uint8 by key, each of its own size, in a file that grows.

    Parameters
    ----------
    path : the file; begun anew if it belongs to another identity
    identity : everything that determines a map beside its image (JSON-serialisable)

    Raises
    ------
    UsodError
        If the file cannot be written, or the disk is full: then or when a map is added.
    """

    def __init__(self, path: Path, identity: Any):
        self.path = path
        self._places: dict[bytes, tuple[int, tuple[int, int]]] = {}  # where the pixels begin, and (H, W)
        header = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._file = path.open("rb+")
            if self._file.read(len(header)) != header:
                self._file.seek(0)
                self._file.truncate()
                self._file.write(header)
            self._find_records()
            self._file.truncate()

    def _find_records(self) -> None:
        """Note where the whole records are; end at the first that is not whole."""
        while True:
            start = self._file.tell()
            head = self._file.read(_RECORD.size)
            if len(head) < _RECORD.size:
                break
            key, height, width, checksum = _RECORD.unpack(head)
            # What a kill left need not be a size: read no more than there is.
            pixels = self._file.read(min(height * width, self.path.stat().st_size))
            if len(pixels) < height * width or zlib.crc32(pixels) != checksum:
                break
            self._places[key] = (start + _RECORD.size, (height, width))
        self._file.seek(start)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image_sha256: str) -> bool:
        return bytes.fromhex(image_sha256) in self._places

    def __getitem__(self, image_sha256: str) -> NDArray[np.uint8]:
        start, (height, width) = self._places[bytes.fromhex(image_sha256)]
        self._file.seek(start)
        return np.frombuffer(self._file.read(height * width), np.uint8).reshape(height, width)

    def __setitem__(self, image_sha256: str, saliency: NDArray[np.uint8]) -> None:
        key, pixels = bytes.fromhex(image_sha256), np.ascontiguousarray(saliency, np.uint8).tobytes()
        with explained(self.path):
            start = self._file.seek(0, 2)
            self._file.write(_RECORD.pack(key, *saliency.shape, zlib.crc32(pixels)) + pixels)
            self._file.flush()
        self._places[key] = (start + _RECORD.size, (saliency.shape[0], saliency.shape[1]))

    def remove(self) -> None:
        """The maps are where they belong: delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._places:
            self.path.unlink(missing_ok=True)
