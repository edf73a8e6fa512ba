"""`usod maps extract`: maps of a handcrafted method."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.maps import app
from usod.commands.options import Quiet, Workers
from usod.errors import UsageError, UsodError


@app.command()
def extract(
    method: Annotated[str, typer.Argument(help="rbd, dsr, mc, hs, mbd or bsca.")],
    images: Annotated[
        list[Path] | None, typer.Argument(help="Images, instead of an index: PNG maps at their size.")
    ] = None,
    out: Annotated[Path, typer.Option(help="MapStore to write, or a folder for PNG files of single images.")] = Path(
        "maps.h5"
    ),
    index: Annotated[Path | None, typer.Option(help="Index of the images (usod data index).")] = None,
    max_side: Annotated[int, typer.Option(min=0, help="Reduce larger images to this side first; 0: never.")] = 640,
    params: Annotated[str, typer.Option(help="The method's parameters as JSON.")] = "{}",
    chunk: Annotated[str, typer.Option(help="Only part I of N of the index, written I-of-N.")] = "1-of-1",
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Compute the maps of one handcrafted method, each at the size of its image, or what --max-side leaves of it.

    Example: usod maps extract rbd --index index.csv --out rbd.h5 --workers 4
    """
    from usod.handcrafted import METHODS

    if method not in METHODS:
        raise UsageError(f"no method {method!r}; there are {', '.join(METHODS)}")
    if (index is None) == (not images):
        raise UsageError("give either --index or the images themselves")
    settings = _parameters(params)
    if index is None:
        _extract_files(method, images or [], out, settings, max_side, workers)
    else:
        _extract_index(method, index, out, settings, max_side, chunk, workers)


def _extract_files(
    method: str, images: list[Path], out: Path, params: dict[str, Any], max_side: int, workers: int
) -> None:
    from usod.data.images import tell_broken
    from usod.data.mapstore import write_map
    from usod.handcrafted.extract import extract_maps
    from usod.progress import progress

    names = [image.with_suffix(".png").name for image in images]
    if out.suffix == ".h5":
        raise UsageError(f"--out {out}: the maps of single images are PNG files, give a folder")
    if len(set(names)) < len(names):
        raise UsageError("two images have the same name: their maps would overwrite one another; use --index")
    maps = extract_maps(images, method, params, True, max_side, workers)
    errors = []
    for name, saliency in zip(names, progress(maps, len(names), method), strict=True):
        if isinstance(saliency, UsodError):
            errors.append(saliency)
        else:
            write_map(out / name, saliency)
    tell_broken(errors, len(names), f"the maps of the others are in {out}")


def _extract_index(
    method: str, index: Path, out: Path, params: dict[str, Any], max_side: int, chunk: str, workers: int
) -> None:
    import numpy as np

    from usod.data.images import tell_broken
    from usod.data.index import read_index
    from usod.data.mapstore import write_maps
    from usod.data.partial import PartialMaps
    from usod.data.store import to_uint8
    from usod.handcrafted.extract import extract_maps
    from usod.progress import progress, say
    from usod.provenance import code_digest, describe, versions

    table = read_index(index)
    number, count = _chunk(chunk)
    table = table.iloc[number * len(table) // count : (number + 1) * len(table) // count]
    settings = {"method": method, "params": params, "max_side": max_side}
    code = code_digest("usod.handcrafted.extract", f"usod.handcrafted._{method}")
    with PartialMaps(out.with_name(f"{out.name}.partial"), [settings, code, versions()]) as done:
        todo = table.loc[[key not in done for key in table["sha256"]]]
        if len(todo) < len(table):
            say(f"{method}: {len(table) - len(todo)} of {len(table)} maps are there from a run that did not end")
        maps = extract_maps(list(todo["image"]), method, params, False, max_side, workers)
        errors = []
        for key, saliency in zip(todo["sha256"], progress(maps, len(todo), method), strict=True):
            if isinstance(saliency, UsodError):
                errors.append(saliency)
            else:
                done[key] = to_uint8(saliency)
        kept = f"the other maps are kept in {done.path}; mend or remove these images, run again"
        tell_broken(errors, len(table), kept)
        attributes = describe(settings, {"index": index}) | {"created_by": f"usod maps extract {method}"}
        sizes = table[["height", "width"]].to_numpy()
        own = np.array([done[key].shape for key in table["sha256"]]).reshape(-1, 2)
        with write_maps(out, list(table["id"]), own, sizes, attributes) as rows:
            for row, key in enumerate(table["sha256"]):
                rows[row] = done[key]
        done.remove()


def _parameters(text: str) -> dict[str, Any]:

    try:
        values = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--params: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError('--params: give an object, such as {"mu": 0.1}')
    return values


def _chunk(text: str) -> tuple[int, int]:

    number, _, count = text.partition("-of-")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--chunk {text}: write it as 2-of-8")
    return int(number) - 1, int(count)
