"""`usod report changes`: the images whose maps changed most."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import Figure, app
from usod.errors import UsodError


@app.command()
def changes(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    before: Annotated[Path, typer.Option(help="MapStore of the maps before, e.g. a prior of LDPS.")],
    after: Annotated[Path, typer.Option(help="MapStore of the maps after.")],
    scores_before: Annotated[Path, typer.Option(help="Scores per image before (usod evaluate --per-image).")],
    scores_after: Annotated[Path, typer.Option(help="Scores per image after.")],
    masks: Annotated[Path, typer.Option(help="masks.csv (usod data masks).")],
    out: Figure,
    count: Annotated[int, typer.Option(min=1, help="Images shown of each kind.")] = 6,
    quiet: Quiet = False,
) -> None:
    """Show the images whose mean absolute error fell most, then those whose error rose most.

    Example: usod report changes --images images.h5 --before rbd.h5 --after refined.h5 --scores-before rbd.csv
    --scores-after refined.csv --masks masks.csv --out changes.png
    """
    from usod.data.index import load_masks
    from usod.data.listed import read_rows
    from usod.data.mapstore import ImageStore, MapStore
    from usod.reporting.figures import save, stages_figure

    mae = [read_rows(path)["mae"] for path in (scores_before, scores_after)]
    change = (mae[1] - mae[0]).dropna().sort_values()
    if change.empty:
        raise UsodError(f"{scores_after}: no image in common with {scores_before}")
    best, worst = change.index[: (len(change) + 1) // 2][:count], change.index[len(change) // 2 + len(change) % 2 :]
    shown = [*best, *worst[-count:][::-1]]
    with ImageStore(images) as store, MapStore(before) as old, MapStore(after) as new:
        columns = {"before": [old[key] for key in shown], "after": [new[key] for key in shown]}
        columns["mask"] = load_masks(masks, shown)
        names = [f"{mae[0][key]:.2f} to {mae[1][key]:.2f}: {key}" for key in shown]
        save(stages_figure([store[key] for key in shown], columns, names), out)
