"""`usod report scatter`: two systems against each other, image by image."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import Figure, app
from usod.errors import UsageError, UsodError


@app.command()
def scatter(
    first: Annotated[Path, typer.Argument(help="Scores per image (usod evaluate --per-image) for the x axis.")],
    second: Annotated[Path, typer.Argument(help="Scores of the same images for the y axis.")],
    out: Figure,
    name: Annotated[list[str], typer.Option(help="What the two are, in their order.")],
    measure: Annotated[list[str], typer.Option(help="Columns of the scores, a panel each.")] = ["f_fixed", "mae"],  # noqa: B006
    quiet: Quiet = False,
) -> None:
    """Set two systems against each other, image by image (as DeepUSPS, Figure 9).

    Example: usod report scatter oracle.csv fused.csv --name oracle --name DeepUSPS --out failures.svg
    """
    import pandas as pd

    from usod.reporting.figures import save, scatter_figure

    if len(name) != 2:
        raise UsageError(f"--name: given {len(name)} times; give two, for the two files")
    frames = [pd.read_csv(path, dtype={"id": str}).set_index("id") for path in (first, second)]
    for path, frame in zip((first, second), frames, strict=True):
        if missing := [column for column in measure if column not in frame]:
            raise UsageError(f"--measure {missing[0]}: not in {path}")
    both = frames[0].join(frames[1], how="inner", lsuffix="_x", rsuffix="_y")
    if both.empty:
        raise UsodError(f"{second}: no image in common with {first}")
    pairs = {column: (both[f"{column}_x"].to_numpy(), both[f"{column}_y"].to_numpy()) for column in measure}
    save(scatter_figure(pairs, name[0], name[1]), out)
