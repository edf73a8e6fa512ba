"""`usod report curves`: precision-recall and F-threshold curves."""

from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import Figure, Scores, app
from usod.errors import UsageError


@app.command()
def curves(
    files: Scores,
    out: Figure,
    systems: Annotated[str, typer.Option(help="Systems to draw, separated by blanks; none: all.")] = "",
    quiet: Quiet = False,
) -> None:
    """Draw precision-recall and F-threshold curves.

    Example: usod report curves results/scores/ecssd/*.json --out curves.svg
    """
    from usod.reporting.figures import curves_figure, save
    from usod.reporting.tables import read_curves

    scores = {file.stem: file for file in files}
    wanted = systems.split() or list(scores)
    for name in wanted:
        if name not in scores:
            raise UsageError(f"--systems {name}: no score of that name; there are {', '.join(scores)}")
    save(curves_figure({name: read_curves(scores[name]) for name in wanted}), out)
