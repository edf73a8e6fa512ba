"""A file for HDF5 to write into that reports no error to HDF5."""

import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py


class PatientFile(io.FileIO):
    """Keeps the first error, ignores all writes after it, and reports success for every one.

    After a failed write the HDF5 library fails again when the file is closed, and crashes the process at its end. So it
    is told of no error; `check` raises the first one.
    """

    def __init__(self, path: Path):
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += super().write(view[done:]) or 0
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def check(self) -> None:
        """Raise the first error there was."""
        if self.error is not None:
            raise self.error


class NewHdf5:
    """`with NewHdf5(path) as new`: `new.file` is an h5py.File to fill; leaving it raises what could not be written."""

    def __init__(self, path: Path):
        self.target = PatientFile(path)
        self.file = h5py.File(self.target, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        failed = self.target.error
        self.target.close()
        if kind is None and failed is not None:
            raise failed
