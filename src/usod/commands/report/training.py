"""`usod report training`: loss and speed of trainings."""

from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.commands.report import Figure, app


@app.command()
def training(
    history: Annotated[list[str], typer.Option(help="NAME=history.csv, once per training.")],
    out: Figure,
    column: Annotated[list[str], typer.Option(help="Columns to draw.")] = ["loss", "images_per_s"],  # noqa: B006
    quiet: Quiet = False,
) -> None:
    """Draw the loss and the speed of trainings, or other columns, epoch by epoch.

    Example: usod report training --history rbd=history.csv --out training.svg
    """
    from usod.reporting.figures import save, training_figure

    save(training_figure(named_paths(history, "--history"), columns=column), out)
