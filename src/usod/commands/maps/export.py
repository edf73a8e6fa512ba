"""`usod maps export`: maps and masks as PNG files."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.maps import Store, app
from usod.commands.options import Count, Only, Part, Quiet, Root, image_folders
from usod.errors import UsageError


@app.command()
def export(
    store: Store,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files, one per id.")],
    index: Annotated[
        Path | None, typer.Option(help="index.csv: files named and placed like its images, not after their ids.")
    ] = None,
    root: Root = None,
    part: Part = None,
    only: Only = None,
    count: Count = None,
    working_size: Annotated[bool, typer.Option(help="Keep the store's size instead of the images' own.")] = False,
    threshold: Annotated[
        str,
        typer.Option(help="Write masks: salient above this number from 0 to 1, adaptive (twice the mean), or otsu."),
    ] = "",
    corrections: Annotated[
        Path | None,
        typer.Option(help="Human masks of some images (usod data corrections), written as they are."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write the maps as PNG files, at the images' own sizes; with --threshold black and white masks.

    Example: usod maps export rbd.h5 --out rbd
    """
    from contextlib import ExitStack

    import numpy as np

    from usod.data.images import resize_map
    from usod.data.index import image_paths
    from usod.data.listed import listed
    from usod.data.mapstore import MapStore, write_map
    from usod.data.places import png_places
    from usod.inference.render import binarise
    from usod.progress import progress

    folders = image_folders(root, part)
    if (index is None) != (not folders):
        raise UsageError("--index and --root (or --part): give both or none")
    if threshold:
        binarise(np.zeros((1, 1)), threshold)  # a wrong one is refused before any work
    with ExitStack() as stack:
        maps = stack.enter_context(MapStore(store))
        human = stack.enter_context(MapStore(corrections)) if corrections else None
        chosen = listed(only, maps.ids, count) if only else maps.ids
        images = image_paths(index, maps.ids) if index else {}
        names = png_places(images, folders) if index else {key: Path(f"{key}.png") for key in maps.ids}
        sizes = dict(zip(maps.ids, maps.original_size, strict=True))
        for key in progress(chosen, len(chosen), "exporting"):
            corrected = human if human is not None and key in human else None
            saliency, above = (maps[key], threshold) if corrected is None else (corrected[key], "0.5")
            if not working_size:
                saliency = resize_map(saliency, tuple(sizes[key]))
            write_map(out / names[key], binarise(saliency, above).astype(float) if threshold else saliency)
