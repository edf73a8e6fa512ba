"""`usod report costs`: what the steps of a run cost."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import app


@app.command()
def costs(
    results: Annotated[Path, typer.Argument(help="Folder of the workflow's results.")],
    csv: Annotated[Path, typer.Option(help="Table as CSV.")],
    markdown: Annotated[Path | None, typer.Option(help="Table as Markdown.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Table as LaTeX.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Bars: .svg, .pdf or .png.")] = None,
    quiet: Quiet = False,
) -> None:
    """Sum up time and memory of every step.

    Example: usod report costs results --csv costs.csv --figure costs.svg
    """
    from usod.reporting.costs import cost_figure, cost_table, write_costs
    from usod.reporting.figures import save
    from usod.systems.descriptions import SYSTEMS

    table = cost_table(results, {name: system.step for name, system in SYSTEMS.items()})
    for path in (csv, markdown, latex):
        if path is not None:
            write_costs(table, path)
    if figure is not None:
        save(cost_figure(table), figure)
