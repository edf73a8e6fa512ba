"""`usod report scores`: all systems' scores in one table."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
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
    leaks: Annotated[
        list[str] | None, typer.Option(help="TRAIN=leaks.csv (usod data leaks): images that the test set shares with.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="With --leaks: name of the test set.")] = "the test set",
    quiet: Quiet = False,
) -> None:
    """Put the scores of all systems into one table, beside the published rows of the same test set.

    Example: usod report scores results/scores/ecssd/*.json --published ECSSD --csv scores.csv
    """
    from usod.data.leaks import leaked, read_leaks
    from usod.reporting.tables import score_table, write_table

    systems = {file.stem: file for file in files}
    shared = (leaked(read_leaks(file), name, dataset) for name, file in named_paths(leaks or [], "--leaks").items())
    references = None if "none" in (published, *reference) else reference
    table = score_table(systems, published, reference=references, leaks=" ".join(filter(None, shared)))
    for path in (csv, markdown, latex):
        if path is not None:
            write_table(table, path)
