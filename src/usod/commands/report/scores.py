"""`usod report scores`: all systems' scores in one table."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import Scores, app


@app.command()
def scores(
    files: Scores,
    csv: Annotated[Path, typer.Option(help="Table as CSV, fractions, all columns.")],
    markdown: Annotated[Path | None, typer.Option(help="Table as Markdown, percent.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Table as LaTeX, percent.")] = None,
    published: Annotated[str, typer.Option(help="Name of the test set in published tables, or none.")] = "none",
    reference: Annotated[
        list[str],
        typer.Option(
            help="A published table: deepusps_table1, ... (`usod.reporting.published`), or none; may be repeated."
        ),
    ] = ["deepusps_table1"],  # noqa: B006 - typer's way to say what is there without the option
    quiet: Quiet = False,
) -> None:
    """Put the scores of all systems into one table, beside the published rows of the same test set.

    Example: usod report scores results/scores/ecssd/*.json --published ECSSD --csv scores.csv
    """
    from usod.reporting.tables import score_table, write_table

    systems = {file.stem: file for file in files}
    table = score_table(systems, published, reference=None if "none" in (published, *reference) else reference)
    for path in (csv, markdown, latex):
        if path is not None:
            write_table(table, path)
