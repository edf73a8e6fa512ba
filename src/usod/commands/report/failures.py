"""`usod report failures`: the images on which two systems fail, and those on which one is much better."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.commands.report import Figure, app
from usod.errors import UsageError


@app.command()
def failures(
    first: Annotated[Path, typer.Argument(help="Scores per image (usod evaluate --per-image) of one system.")],
    second: Annotated[Path, typer.Argument(help="Scores of the same images of the other.")],
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    maps: Annotated[list[str], typer.Option(help="NAME=maps.h5 of the two, in their order.")],
    masks: Annotated[Path, typer.Option(help="masks.csv: the ground truth.")],
    out: Figure,
    count: Annotated[int, typer.Option(min=1, help="Images of each kind.")] = 4,
    quiet: Quiet = False,
) -> None:
    """Show where two systems fail both, and where one gains most on the other, by MAE (as DeepUSPS, Figure 5).

    Example: usod report failures fused.csv oracle.csv --images images.h5 --maps DeepUSPS=fused.h5 --maps GT=oracle.h5
    --masks masks.csv --out failures.png
    """
    from usod.data.index import load_masks
    from usod.data.mapstore import ImageStore, MapStore
    from usod.reporting.figures import save, stages_figure
    from usod.reporting.image_by_image import extremes, read_both

    paths = named_paths(maps, "--maps")
    if len(paths) != 2:
        raise UsageError(f"--maps: given {len(paths)} times; give two, for the two files")
    kinds = extremes(read_both(first, second, ["mae"])["mae"], count)
    titles = dict(zip(kinds, ("both fail", *(f"better: {name}" for name in paths)), strict=True))
    shown = {key: titles[kind] for kind, keys in kinds.items() for key in keys}
    columns = {"mask": load_masks(masks, list(shown))}
    for name, path in reversed(paths.items()):
        with MapStore(path) as store:
            store.require(list(shown))
            columns[name] = [store[key] for key in shown]
    with ImageStore(images) as store:
        pixels = [store[key] for key in shown]
    save(stages_figure(pixels, columns, list(shown.values())), out)
