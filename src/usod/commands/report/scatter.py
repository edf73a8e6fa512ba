"""`usod report scatter`: two systems against each other, image by image."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import Figure, app
from usod.errors import UsageError


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

    Example: usod report scatter fused.csv oracle.csv --name DeepUSPS --name oracle --out failures.svg
    """
    from usod.reporting.figures import save, scatter_figure
    from usod.reporting.image_by_image import read_both

    if len(name) != 2:
        raise UsageError(f"--name: given {len(name)} times; give two, for the two files")
    both = read_both(first, second, measure)
    pairs = {column: (of["first"].to_numpy(), of["second"].to_numpy()) for column, of in both.items()}
    save(scatter_figure(pairs, name[0], name[1]), out)
