"""`usod report examples`, `changes`, `watched`: images beside their maps."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.errors import UsodError

Figure = Annotated[Path, typer.Option(help="Figure to write: .svg, .pdf or .png.")]


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
    from usod.data.index import load_mask, read_masks
    from usod.data.mapstore import ImageStore, MapStore
    from usod.evaluation.agreement import read_ranked
    from usod.reporting.figures import save, stages_figure

    of_id = {}
    if masks is not None:
        table = read_masks(masks)
        of_id = dict(zip(table["id"], zip(table["mask"], table["threshold"], strict=True), strict=True))
    with ImageStore(images) as store:
        ids = [key for key in store.ids if key in of_id or masks is None]
        shown = ids[:: max(1, len(ids) // count)][:count]
        if first is not None:
            known = set(ids)
            shown = [key for key in read_ranked(first).index if key in known][:count]
        pixels = {key: store[key] for key in shown}
    columns = {}
    for name, path in named_paths(column, "--column").items():
        with MapStore(path) as maps:
            maps.require(list(pixels))
            columns[name] = [maps[key] for key in pixels]
    if masks is not None:
        columns["mask"] = [load_mask(*of_id[key]) for key in pixels]
    save(stages_figure(list(pixels.values()), columns, list(pixels) if first is not None else None), out)


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
    import pandas as pd

    from usod.data.index import load_mask, read_masks
    from usod.data.mapstore import ImageStore, MapStore
    from usod.reporting.figures import save, stages_figure

    mae = [pd.read_csv(path, dtype={"id": str}).set_index("id")["mae"] for path in (scores_before, scores_after)]
    change = (mae[1] - mae[0]).dropna().sort_values()
    if change.empty:
        raise UsodError(f"{scores_after}: no image in common with {scores_before}")
    best, worst = change.index[: (len(change) + 1) // 2][:count], change.index[len(change) // 2 + len(change) % 2 :]
    shown = [*best, *worst[-count:][::-1]]
    table = read_masks(masks).set_index("id")
    with ImageStore(images) as store, MapStore(before) as old, MapStore(after) as new:
        columns = {"before": [old[key] for key in shown], "after": [new[key] for key in shown]}
        columns["mask"] = [load_mask(table.loc[key, "mask"], table.loc[key, "threshold"]) for key in shown]
        names = [f"{mae[0][key]:.2f} to {mae[1][key]:.2f}: {key}" for key in shown]
        save(stages_figure([store[key] for key in shown], columns, names), out)


def watched(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    maps: Annotated[Path, typer.Option(help="Watched maps of a training (usod a2s stage1 --out-watched).")],
    out: Figure,
    count: Annotated[int, typer.Option(min=1, help="Images shown, spread evenly over the watched ones.")] = 12,
    epochs: Annotated[int, typer.Option(min=2, help="Columns: before training, ..., after the last epoch.")] = 6,
    quiet: Quiet = False,
) -> None:
    """Show what a network makes of some images before, during and after its training.

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
