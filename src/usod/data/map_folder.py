"""A folder of map images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from usod.data.images import read_image
from usod.data.store import require_ids
from usod.data.tree import image_files
from usod.errors import UsodError


class MapFolder:
    """A folder of map images (PNG and the like), read like a MapStore; ids are relative paths without their endings."""

    labels = "unknown"

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._files: dict[str, Path] = {}
        for file in image_files(self.path):
            key = file.relative_to(self.path).with_suffix("").as_posix()
            if key in self._files:
                raise UsodError(f"{file}: a second map of {key!r} beside {self._files[key].name}; keep one of them")
            self._files[key] = file
        if not self._files:
            raise UsodError(f"{self.path}: no map images (PNG or the like) in this folder")
        self.ids = list(self._files)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, key: object) -> bool:
        return key in self._files

    def __getitem__(self, key: str) -> np.ndarray:
        """(H, W) float32 in [0, 1], at the file's own size."""
        # A colour file counts with the mean of its channels; grey ones have three equal ones here.
        return read_image(self._files[key]).mean(axis=2, dtype=np.float32) / np.float32(255)

    def sizes_of(self, ids: Sequence[str]) -> np.ndarray:
        """(n, 2) int, height and width of these maps; UsodError where one is missing or no image."""
        require_ids(self, ids)
        return np.array([self[key].shape for key in ids]).reshape(-1, 2)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((key, self[key]) for key in self.ids)
