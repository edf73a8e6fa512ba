"""`usod report watched`: predictions for some images during trainings."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.commands.report import Figure, app
from usod.errors import UsodError


@app.command()
def watched(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    maps: Annotated[list[str], typer.Option(help="NAME=watched.h5 of a training (--out-watched), a line each.")],
    out: Figure,
    beside: Annotated[list[str] | None, typer.Option(help="NAME=maps.h5, a column each before the epochs.")] = None,
    masks: Annotated[Path | None, typer.Option(help="masks.csv: adds the ground truth.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Images shown, spread evenly over the watched ones.")] = 12,
    epochs: Annotated[int, typer.Option(min=2, help="Columns: before training, ..., after the last epoch.")] = 6,
    quiet: Quiet = False,
) -> None:
    """Show networks' predictions for some images before, during and after their training.

    Example: usod report watched --images images.h5 --maps plain=watched.h5 --out watched.png
    """
    from contextlib import ExitStack

    import numpy as np

    from usod.data.index import load_masks
    from usod.data.mapstore import ImageStore, MapStore
    from usod.reporting.figures import save, stages_figure

    with ExitStack() as stack:
        store = stack.enter_context(ImageStore(images))
        looks = {name: stack.enter_context(MapStore(path)) for name, path in named_paths(maps, "--maps").items()}
        others = {n: stack.enter_context(MapStore(path)) for n, path in named_paths(beside or [], "--beside").items()}
        parts = [name.partition("/") for name in next(iter(looks.values())).ids]
        every, ids = sorted({p[0] for p in parts}), list(dict.fromkeys(p[2] for p in parts))
        if not ids:
            raise UsodError(f"{maps[0]}: no image was watched; set watch in the training's configuration")
        shown = ids[:: max(1, len(ids) // count)][:count]
        chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, epochs).round().astype(int))]
        store.require(shown)
        for look in looks.values():
            look.require([f"{epoch}/{key}" for epoch in chosen for key in shown])
        lines = [(key, name) for key in shown for name in looks]
        columns = {name: [other[key] for key, _ in lines] for name, other in others.items()}
        for epoch in chosen:
            heading = f"epoch {int(epoch)}" if int(epoch) else "before"
            columns[heading] = [looks[name][f"{epoch}/{key}"] for key, name in lines]
        if masks is not None:
            truth = dict(zip(shown, load_masks(masks, shown), strict=True))
            columns = {"mask": [truth[key] for key, _ in lines]} | columns
        names = [name for _, name in lines] if len(looks) > 1 else None
        save(stages_figure([store[key] for key, _ in lines], columns, names), out)
