"""`usod report`: tables, figures and pages from scores, maps and histories."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Tables and figures from scores, maps and training histories.")
Scores = Annotated[list[Path], typer.Argument(help="JSON files of `usod evaluate`, named SYSTEM.json.")]
Figure = Annotated[Path, typer.Option(help="Figure to write: .svg, .pdf or .png.")]
