"""`usod report watched`: predictions for some images during a training."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import Figure, app
from usod.errors import UsodError


@app.command()
def watched(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    maps: Annotated[Path, typer.Option(help="Watched maps of a training (usod a2s stage1 --out-watched).")],
    out: Figure,
    count: Annotated[int, typer.Option(min=1, help="Images shown, spread evenly over the watched ones.")] = 12,
    epochs: Annotated[int, typer.Option(min=2, help="Columns: before training, ..., after the last epoch.")] = 6,
    quiet: Quiet = False,
) -> None:
    """Show a network's predictions for some images before, during and after its training.

    Example: usod report watched --images images.h5 --maps watched.h5 --out watched.png
    """
    import numpy as np

    from usod.data.mapstore import ImageStore, MapStore
    from usod.reporting.figures import save, stages_figure

    with ImageStore(images) as store, MapStore(maps) as looks:
        parts = [name.partition("/") for name in looks.ids]
        every, ids = sorted({p[0] for p in parts}), list(dict.fromkeys(p[2] for p in parts))
        if not ids:
            raise UsodError(f"{maps}: no image was watched; set watch in the training's configuration")
        store.require(ids)
        shown = ids[:: max(1, len(ids) // count)][:count]
        chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, epochs).round().astype(int))]
        names = {epoch: f"epoch {int(epoch)}" if int(epoch) else "before" for epoch in chosen}
        columns = {names[epoch]: [looks[f"{epoch}/{key}"] for key in shown] for epoch in chosen}
        save(stages_figure([store[key] for key in shown], columns), out)
