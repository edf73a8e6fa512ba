"""`usod report page`: the report on one page."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet
from usod.commands.report import app
from usod.errors import UsageError


@app.command()
def page(
    plan: Annotated[
        str,
        typer.Option(
            help="JSON: title, intro, first (images, maps, count), steps (title, text, command, links), chapters "
            "(title, items (title, caption, file))."
        ),
    ],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    threshold: Annotated[
        str, typer.Option(help="Of the masks of `first`: a number from 0 to 1, adaptive or otsu.")
    ] = "0.5",
    quiet: Quiet = False,
) -> None:
    """Put pictures and tables into one page that needs nothing else.

    Example: usod report page --out report.html --plan '{"title": "T", "chapters": [{"title": "Scores", "items":
    [{"file": "scores.md"}]}]}'
    """
    from usod.files import write_text
    from usod.inference.render import binarise
    from usod.reporting.page import make_page, parse_page

    try:
        values = json.loads(plan)
    except ValueError as error:
        raise UsageError(f"--plan: not JSON: {error}") from error
    write_text(out, make_page(parse_page(values), partial(binarise, threshold=threshold)))
