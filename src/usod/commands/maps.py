"""`usod maps`: handcrafted maps, and MapStores to and from folders of PNG files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.options import Quiet, Workers

app = typer.Typer(no_args_is_help=True, help="Extract handcrafted maps; turn MapStores into PNG files and back.")
Store = Annotated[Path, typer.Argument(help="MapStore (.h5).")]
Out = Annotated[Path, typer.Option(help="MapStore to write (.h5).")]
Index = Annotated[Path, typer.Option(help="Index of the images (usod data index).")]
Size = Annotated[int, typer.Option(min=8, help="Side of the square working size in pixels.")]


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
    size: Size = 432,
    max_side: Annotated[int, typer.Option(min=0, help="Reduce larger images to this side first; 0: never.")] = 640,
    params: Annotated[str, typer.Option(help="The method's parameters as JSON.")] = "{}",
    chunk: Annotated[str, typer.Option(help="Only part I of N of the index, written I-of-N.")] = "1-of-1",
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Compute the maps of one handcrafted method.

    Example: usod maps extract rbd --index index.csv --out rbd.h5 --workers 4
    """
    from usod.errors import UsageError
    from usod.handcrafted import METHODS

    if method not in METHODS:
        raise UsageError(f"no method {method!r}; there are {', '.join(METHODS)}")
    if (index is None) == (not images):
        raise UsageError("give either --index or the images themselves")
    settings = _parameters(params)
    if index is None:
        _extract_files(method, images or [], out, settings, max_side, workers)
    else:
        _extract_index(method, index, out, settings, size, max_side, chunk, workers)


def _extract_files(
    method: str, images: list[Path], out: Path, params: dict[str, Any], max_side: int, workers: int
) -> None:
    from usod.data.images import tell_broken
    from usod.data.mapstore import write_map
    from usod.errors import UsageError, UsodError
    from usod.handcrafted.extract import extract_maps
    from usod.progress import progress

    names = [image.with_suffix(".png").name for image in images]
    if out.suffix == ".h5":
        raise UsageError(f"--out {out}: the maps of single images are PNG files, give a folder")
    if len(set(names)) < len(names):
        raise UsageError("two images have the same name: their maps would overwrite one another; use --index")
    maps = extract_maps(images, method, params, None, max_side, workers)
    errors = []
    for name, saliency in zip(names, progress(maps, len(names), method), strict=True):
        if isinstance(saliency, UsodError):
            errors.append(saliency)
        else:
            write_map(out / name, saliency)
    tell_broken(errors, len(names), f"the maps of the others are in {out}")


def _extract_index(
    method: str, index: Path, out: Path, params: dict[str, Any], size: int, max_side: int, chunk: str, workers: int
) -> None:
    from usod.data.images import tell_broken
    from usod.data.index import read_index
    from usod.data.mapstore import to_uint8, write_maps
    from usod.data.partial import PartialMaps
    from usod.errors import UsodError
    from usod.handcrafted.extract import extract_maps
    from usod.progress import progress, say
    from usod.provenance import code_digest, describe, versions

    table = read_index(index)
    number, count = _chunk(chunk)
    table = table.iloc[number * len(table) // count : (number + 1) * len(table) // count]
    settings = {"method": method, "params": params, "size": size, "max_side": max_side}
    code = code_digest("usod.handcrafted.extract", f"usod.handcrafted._{method}")
    with PartialMaps(out.with_name(f"{out.name}.partial"), [settings, code, versions()], (size, size)) as done:
        todo = table.loc[[key not in done for key in table["sha256"]]]
        if len(todo) < len(table):
            say(f"{method}: {len(table) - len(todo)} of {len(table)} maps are there from a run that did not end")
        maps = extract_maps(list(todo["image"]), method, params, (size, size), max_side, workers)
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
        with write_maps(out, list(table["id"]), (size, size), sizes, attributes) as rows:
            for row, key in enumerate(table["sha256"]):
                rows[row] = done[key]
        done.remove()


@app.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(help="MapStores that together hold every image of the index.")],
    index: Index,
    out: Out,
    quiet: Quiet = False,
) -> None:
    """Put the parts of one data set's maps together, in the order of its index.

    Example: usod maps merge rbd.1-of-2.h5 rbd.2-of-2.h5 --index index.csv --out rbd.h5
    """
    from contextlib import ExitStack

    from usod.data.index import read_index
    from usod.data.mapstore import MapStore, write_maps
    from usod.errors import UsodError
    from usod.provenance import describe

    table = read_index(index)
    with ExitStack() as stack:
        stores = [stack.enter_context(MapStore(part)) for part in parts]
        of_id = {key: store for store in stores for key in store.ids}
        missing = [key for key in table["id"] if key not in of_id]
        if missing:
            raise UsodError(f"{parts[0]} and the other parts lack {len(missing)} images of {index}, e.g. {missing[0]}")
        shapes = {store.size for store in stores if len(store)}
        if len(shapes) > 1:
            raise UsodError(f"{parts[0]} and the other parts hold maps of different sizes")
        attributes = describe(stores[0].attributes["config"], {"index": index}) | {
            "created_by": stores[0].attributes["created_by"]
        }
        sizes = table[["height", "width"]].to_numpy()
        with write_maps(out, list(table["id"]), shapes.pop(), sizes, attributes) as rows:
            for key in table["id"]:
                rows[key] = of_id[key].raw(key)


@app.command("import")
def import_maps(
    source: Annotated[Path, typer.Argument(help="Folder of map images named like the ids, or a MapStore.")],
    index: Index,
    out: Out,
    size: Size = 432,
    labels: Annotated[
        str | None,
        typer.Option(help="Human labels that went into them: none, masks, ImageNet classes, ...; else what they say."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Take over maps made elsewhere: a method, a prior, or predictions to be scored.

    Example: usod maps import pngs --index index.csv --out maps.h5
    """
    from usod.data.images import resize_map
    from usod.data.index import read_index
    from usod.data.mapstore import open_maps, require_ids, write_maps
    from usod.progress import progress
    from usod.provenance import describe

    table = read_index(index)
    maps = open_maps(source)
    require_ids(maps, list(table["id"]))
    attributes = describe({"size": size}, {"maps": source, "index": index}) | {"created_by": "usod maps import"}
    attributes |= {"labels": labels} if labels else {}
    sizes = table[["height", "width"]].to_numpy()
    with write_maps(out, list(table["id"]), (size, size), sizes, attributes) as rows:
        for key in progress(table["id"], len(table), "importing"):
            rows[key] = resize_map(maps[key], (size, size))


@app.command()
def info(store: Store, quiet: Quiet = False) -> None:
    """Print what a MapStore says of itself.

    Example: usod maps info rbd.h5
    """
    from usod.data.mapstore import MapStore

    with MapStore(store) as maps:
        means = [float(saliency.mean()) for _, saliency in maps]
        print(f"{store}: {len(maps)} maps of {maps.shape[0]}x{maps.shape[1]}, all checksums right")
        print(f"mean saliency: {sum(means) / max(1, len(means)):.4f}")
        for key, value in maps.attributes.items():
            print(f"{key}: {json.dumps(value) if isinstance(value, dict) else value}")


def _parameters(text: str) -> dict[str, Any]:
    from usod.errors import UsageError

    try:
        values = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--params: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError('--params: give an object, such as {"mu": 0.1}')
    return values


def _chunk(text: str) -> tuple[int, int]:
    from usod.errors import UsageError

    number, _, count = text.partition("-of-")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--chunk {text}: write it as 2-of-8")
    return int(number) - 1, int(count)
