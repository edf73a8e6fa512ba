"""`usod report examples`: images beside their maps."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.commands.report import Figure, app


@app.command()
def examples(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    column: Annotated[list[str], typer.Option(help="NAME=maps.h5, one column of the figure each.")],
    out: Figure,
    masks: Annotated[Path | None, typer.Option(help="masks.csv: adds the ground truth as the last column.")] = None,
    first: Annotated[
        Path | None, typer.Option(help="CSV with a column id: its first images are shown, not some of the whole set.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Images shown, spread evenly over the set.")] = 12,
    quiet: Quiet = False,
) -> None:
    """Show images and their maps, stage by stage (as DeepUSPS, Figures 2 and 7).

    Example: usod report examples --images images.h5 --column rbd=rbd.h5 --column fused=fused.h5 --out examples.png
    """
    from usod.data.index import load_masks, read_masks
    from usod.data.listed import read_rows
    from usod.data.mapstore import ImageStore, MapStore
    from usod.reporting.figures import save, stages_figure

    masked = None if masks is None else set(read_masks(masks)["id"])
    with ImageStore(images) as store:
        ids = [key for key in store.ids if masked is None or key in masked]
        shown = ids[:: max(1, len(ids) // count)][:count]
        if first is not None:
            known = set(ids)
            shown = [key for key in read_rows(first).index if key in known][:count]
        pixels = {key: store[key] for key in shown}
    columns = {}
    for name, path in named_paths(column, "--column").items():
        with MapStore(path) as maps:
            maps.require(list(pixels))
            columns[name] = [maps[key] for key in pixels]
    if masks is not None:
        columns["mask"] = load_masks(masks, list(pixels))
    save(stages_figure(list(pixels.values()), columns, list(pixels) if first is not None else None), out)
