"""`usod maps export`: maps and masks as PNG files."""

import os
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.maps import Store, app
from usod.commands.options import Quiet, named_paths
from usod.errors import UsageError, UsodError


@app.command()
def export(
    store: Store,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files, one per id.")],
    index: Annotated[
        Path | None, typer.Option(help="index.csv: files named and placed like its images, not after their ids.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="With --index: the images' folder, as the index was made of it.")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="Of joined sets, in place of --root: NAME=FOLDER, once per data set.")
    ] = None,
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
    from usod.data.mapstore import MapStore, write_map
    from usod.inference.render import binarise
    from usod.progress import progress

    if (index is None) != (root is None and not part) or (root is not None and part):
        raise UsageError("--index and --root (or --part): give both or none")
    roots = {"": root} if root else named_paths(part or [], "--part")
    if threshold:
        binarise(np.zeros((1, 1)), threshold)  # a wrong one is refused before any work
    with ExitStack() as stack:
        maps = stack.enter_context(MapStore(store))
        human = stack.enter_context(MapStore(corrections)) if corrections else None
        names = names_of_images(index, roots, maps.ids) if index else {key: f"{key}.png" for key in maps.ids}
        for number, (key, saliency) in enumerate(progress(maps, len(maps), "exporting")):
            above = threshold
            if human is not None and key in human:
                saliency, above = human[key], "0.5"
            if not working_size:
                saliency = resize_map(saliency, tuple(maps.original_size[number]))
            write_map(out / names[key], binarise(saliency, above).astype(float) if threshold else saliency)


def names_of_images(index: Path, roots: dict[str, Path], ids: list[str]) -> dict[str, str]:
    """id -> the PNG file of its image, relative to the folder of all, as `usod.data.tree.png_names` names it.

    `roots` are the folders of the images by data set, or the only one as ""; of several each has a folder of its name.
    """
    from usod.data.index import read_index
    from usod.data.tree import png_names

    images = read_index(index).set_index("id")["image"]
    if missing := [key for key in ids if key not in images.index]:
        raise UsodError(f"{index}: has no image {missing[0]}, which is in the maps")
    places = {}
    for key in ids:
        name = "" if "" in roots else key.partition("/")[0]
        if name not in roots:
            raise UsodError(f"--part: has no folder for {key}; give {name}=FOLDER")
        try:
            places[key] = Path(name, Path(images[key]).relative_to(os.path.normpath(roots[name].absolute())))
        except ValueError as error:
            raise UsodError(f"--root {roots[name]}: {error}; give the folder that the index was made of") from None
    names = png_names(places.values())
    return {key: str(names[place]) for key, place in places.items()}
