"""`usod data images`: decode the images once, at working size."""

from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.data import app
from usod.commands.options import Quiet, Workers
from usod.errors import UsodError


@app.command()
def images(
    index: Annotated[Path, typer.Option(help="Index of the images (usod data index).")],
    out: Annotated[Path, typer.Option(help="HDF5 file of the images at working size.")],
    size: Annotated[int, typer.Option(min=8, help="Side of the square working size in pixels.")] = 432,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Decode the images once, at working size.

    Example: usod data images --index index.csv --size 432 --out images.h5
    """
    from usod.data.index import read_index
    from usod.data.mapstore import write_images
    from usod.data.parallel import parallel_map
    from usod.progress import progress
    from usod.provenance import describe

    table = read_index(index)
    attributes = describe({"size": size}, {"index": index}) | {"created_by": "usod data images"}
    sizes = table[["height", "width"]].to_numpy()
    jobs = [(path, size, digest) for path, digest in zip(table["image"], table["sha256"], strict=True)]
    with write_images(out, list(table["id"]), (size, size), sizes, attributes) as rows:
        decoded = parallel_map(_decode, jobs, workers, ["usod.data.images"])
        for number, image in enumerate(progress(decoded, len(jobs), "decoding")):
            rows[number] = image


def _decode(job: tuple[str, int, str]) -> Any:
    from usod.data.images import inspect_image, read_image, resize_image

    path, size, digest = job
    if inspect_image(path).sha256 != digest:
        raise UsodError(f"{path}: has changed since it was indexed; run `usod data index` again")
    return resize_image(read_image(path), (size, size))
