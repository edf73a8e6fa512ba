"""`usod report gallery`: all images with their maps as a page."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Part, Quiet, Root, Workers, image_folders, named_paths
from usod.commands.report import app


@app.command()
def gallery(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    map_: Annotated[
        list[str],
        typer.Option("--map", help="TITLE=maps.h5, each shown beside the image; the mask is of the first."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for index.html, images.js and pictures/.")],
    name: Annotated[str, typer.Option(help="Of the data set, as the page's title.")] = "images",
    values: Annotated[
        list[Path] | None,
        typer.Option(help="CSV with a column id, such as that of `usod maps agree`: numbers to sort and filter by."),
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="masks.csv: shows the ground truth, too.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="index.csv: enlarges the photographs themselves, and the list has their paths.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="With --index: the folder of `usod maps export`, to enlarge its masks.")
    ] = None,
    root: Root = None,
    part: Part = None,
    threshold: Annotated[str, typer.Option(help="Of the mask: a number from 0 to 1, adaptive or otsu.")] = "0.5",
    side: Annotated[int, typer.Option(min=64, max=1024, help="Longest side of the small pictures in pixels.")] = 192,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Show all images with their masks and maps, to sort, filter and tick: one page that opens from disk.

    Example: usod report gallery --images images.h5 --map fused=fused.h5 --map rbd=rbd.h5 --values doubts.csv --out all
    """
    import numpy as np

    from usod.data.index import image_paths
    from usod.data.mapstore import ImageStore
    from usod.data.places import png_places
    from usod.errors import UsageError
    from usod.inference.render import binarise
    from usod.reporting.gallery import Contents, make_gallery

    binarise(np.zeros((1, 1)), threshold)  # a wrong one is refused before any work
    folders = image_folders(root, part)
    if (masks is None) != (not folders) or (masks is not None and index is None):
        raise UsageError("--masks, --index and --root (or --part): give all three, or --index alone")
    with ImageStore(images) as store:
        ids = store.ids
    photographs = image_paths(index, ids) if index else None
    names = png_places(photographs, folders) if photographs and masks else {}
    make_gallery(
        Contents(name, images, named_paths(map_, "--map"), partial(binarise, threshold=threshold), truth, side),
        out,
        values or [],
        photographs,
        {key: masks / names[key] for key in ids} if masks else None,
        workers,
    )
