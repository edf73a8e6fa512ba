"""Whether Snakemake's lock on a folder belongs to a run at work or to a killed one.

A killed Snakemake leaves its lock behind, and the next one asks a person to decide. `usod run` leaves a mark, a file
with the name of the machine. Where the mark names this machine, and no process is at work in the folder, the lock is
stale.
"""

import platform
from pathlib import Path

import psutil

from usod.errors import UsodError

_MARK = ".snakemake/usod-run"


def mark(folder: Path) -> str | None:
    """Leave the mark of a run in `folder`; return the machine that a mark left by a killed run names, if any."""
    file = folder / _MARK
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        return file.read_text(encoding="utf-8").strip()
    file.write_text(platform.node() + "\n", encoding="utf-8")
    return None


def unmark(folder: Path) -> None:
    """Remove the mark: the run has ended by itself."""
    file = folder / _MARK
    if file.exists() and file.read_text(encoding="utf-8").strip() == platform.node():
        file.unlink()


def check_abandoned(folder: Path, before: str | None) -> None:
    """Return if the lock on `folder` is stale; `before` is what `mark` returned.

    Raises
    ------
    UsodError
        If another run is at work there, or may be.
    """
    busy = at_work(folder)
    if busy:
        raise UsodError(f"{folder}: another run is at work there, process {busy[0]}; wait for it, or stop it")
    if before != platform.node():
        raise UsodError(
            f"{folder}: locked by a Snakemake that is at work there, perhaps on another machine, or that was killed. "
            "If none is, say the same with -- --unlock at its end, and then without"
        )


def at_work(folder: Path) -> list[str]:
    """`1234 (snakemake)`: processes of this machine that work in `folder`, but for this one and those that started it.

    A process whose folder may not be looked at counts when it is a Snakemake.
    """
    own = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
    found = []
    for process in psutil.process_iter(["pid", "cwd", "cmdline"]):
        # The program, or what a Python runs: not any word, as an editor may have a file of such a name open.
        words = [Path(word).name for word in (process.info["cmdline"] or [])[:4]]
        name = next((kind for kind in ("snakemake", "usod") if kind in words), None)
        cwd = process.info["cwd"]
        if process.pid in own or name is None or (cwd is None and name != "snakemake"):
            continue
        if cwd is None or Path(cwd) == folder.resolve():
            found.append(f"{process.pid} ({name})")
    return found
