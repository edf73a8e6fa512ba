"""`usod report ablation`: the variants of an ablation in one table."""

import json
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import app
from usod.errors import UsageError


@app.command()
def ablation(
    table: Annotated[
        str,
        typer.Option(
            help="JSON: title, reference, protocol, rows (name -> data set -> files), histories, published_as."
        ),
    ],
    csv: Annotated[Path, typer.Option(help="Table as CSV, fractions.")],
    markdown: Annotated[Path | None, typer.Option(help="Table as Markdown, percent.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Table as LaTeX, percent.")] = None,
    quiet: Quiet = False,
) -> None:
    """Put the variants of an ablation into one table, beside the published rows.

    Example: usod report ablation --csv out.csv --table '{"title": "T", "rows": {"A": {"ECSSD": ["a.json"]}},
    "histories": {"A": ["history.csv"]}}'
    """
    from usod.reporting.ablation_table import ablation_table, write_ablation_table

    try:
        wanted = json.loads(table)
        title = wanted.pop("title")
        frame = ablation_table(**wanted)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"--table: {error}") from error
    for path in (csv, markdown, latex):
        if path is not None:
            write_ablation_table(frame, path, title, wanted.get("protocol", "own"))
