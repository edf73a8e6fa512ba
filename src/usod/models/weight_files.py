"""Weights as files: read without running code, downloaded whole or not at all, known by their digests."""

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from usod.errors import UsodError
from usod.files import atomic_path
from usod.human_labels import MODEL_KEY
from usod.progress import progress, say

MEGABYTE = 2**20
TIMEOUT = 30.0  # seconds without an answer


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors or torch file, told apart by their first bytes, on the CPU; no code of it is run.

    Of a checkpoint that holds them beside other things, those under `state_dict`, `model` or `teacher` are taken.

    Raises
    ------
    UsodError
        If the file is damaged, or holds objects that would have to be executed.
    """
    if is_safetensors(path):
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise not_whole(path, error) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a foreign file fails in as many ways as there are files
        raise UsodError(
            f"weights: {path} was refused: damaged, or not a file of tensors only that torch.load(weights_only=True) "
            f"reads; download it again or convert it to .safetensors ({first_line(error)})"
        ) from error
    for key in ("state_dict", "model", "teacher"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UsodError(f"weights: {path} holds no named tensors (a state dict, alone or under 'state_dict'); save one")
    return tensors


def is_safetensors(path: Path) -> bool:
    """Whether a file is of that format, by its name or by its first bytes: a length, then JSON."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def read_model_header(path: Path) -> dict[str, Any] | None:
    """The header that `save_model` wrote into a safetensors file; None for other safetensors files.

    Raises
    ------
    safetensors.SafetensorError
        If it is not a whole safetensors file.
    """
    with safetensors.safe_open(path, framework="pt") as file:
        header = (file.metadata() or {}).get(MODEL_KEY)
    return None if header is None else json.loads(header)


def download(url: str, out: Path, sha256: str = "", md5: str = "") -> None:
    """Fetch a file, whole or not at all, with a bar or lines of progress.

    Parameters
    ----------
    sha256, md5 : first hexadecimal digits that it must have; empty: they are not known

    Raises
    ------
    UsodError
        If the address cannot be reached, or what comes is not the file; the line ends with the reason.
    """
    say(f"downloading {url} to {out}")
    digests = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with atomic_path(out) as temporary:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, temporary.open("wb") as file:
                length = int(answer.headers.get("Content-Length") or 0)
                parts = iter(lambda: answer.read(MEGABYTE), b"")
                for part in progress(parts, -(-length // MEGABYTE), out.name, "megabyte"):
                    file.write(part)
                    for digest in digests:
                        digest.update(part)
                if length and file.tell() != length:
                    raise UsodError(f"{url} broke off after {file.tell()} of {length} bytes; run again")
        except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
            reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
            raise UsodError(f"{url} cannot be downloaded ({first_line(reason)})") from error
        for digest, wanted in zip(digests, (sha256, md5), strict=True):
            if not digest.hexdigest().startswith(wanted):
                raise UsodError(
                    f"{url}: its {digest.name} is {digest.hexdigest()[: len(wanted)]}…, not the published {wanted}; "
                    "what was sent is another file"
                )


def not_whole(path: Path, error: Exception) -> UsodError:
    return UsodError(f"weights: {path} is not a whole safetensors file ({first_line(error)}); copy it again")


def first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
