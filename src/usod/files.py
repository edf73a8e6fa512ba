"""Writing a file whole or not at all."""

import contextlib
import errno
import functools
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from usod.errors import UsodError

_HOST = re.sub(r"[^A-Za-z0-9_.]", "_", platform.node())
# It can only be read by setting it, which at any later time another thread could see.
UMASK = os.umask(0)
os.umask(UMASK)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success, remove it on any failure.

    The content is flushed to disk before the rename, so a reader sees the old file or the whole new one. What a killed
    process of this machine left behind in the folder is removed.

    Raises
    ------
    UsodError
        If the disk is full or the folder cannot be written; the old file is left as it was.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.{_HOST}-{os.getpid()}-", suffix=".tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; a result is as readable as any other file of the user's.
        temporary.chmod(0o666 & ~UMASK)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        _explain(error, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@functools.cache  # once per process: a folder may hold 100,000 files
def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that no longer run; those of other machines cannot be judged."""
    for file in folder.glob(f".*.{_HOST}-*.tmp"):
        process = file.name.rsplit(f".{_HOST}-", 1)[1].split("-")[0]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (PermissionError, ValueError, OverflowError):  # another user's process; a file that is not ours
            continue


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Around the writing of a file: raise UsodError for what the user can mend, such as a full disk."""
    try:
        yield
    except PermissionError as error:
        raise UsodError(f"{path}: no permission to write there: choose another folder") from error
    except OSError as error:
        _explain(error, Path(path))
        raise


_REASONS = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "the disk quota is used up: free some space and run again",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder: give a file name",
}


def _explain(error: OSError, path: Path) -> None:
    """Raise UsodError for what the user can mend; return for anything else, such as an error of another file."""
    for number, reason in _REASONS.items():
        # HDF5 and torch hide the number in their message.
        if error.errno == number or (error.errno is None and os.strerror(number) in str(error)):
            raise UsodError(f"{path}: cannot be written, {reason}") from error
