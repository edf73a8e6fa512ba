"""`usod report provenance`: what a run was made from."""

import json
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.commands.report import app
from usod.errors import UsageError


@app.command()
def provenance(
    out: Annotated[Path, typer.Option(help="Markdown file to write.")],
    index: Annotated[list[str], typer.Option(help="NAME=index.csv, once per data set.")],
    model: Annotated[list[str] | None, typer.Option(help="NAME=model.safetensors, once per network.")] = None,
    config: Annotated[str, typer.Option(help="The configuration in force, as JSON.")] = "{}",
    corrections: Annotated[
        Path | None, typer.Option(help="CSV of the training images that have human masks (usod data corrections).")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write down data, networks, settings and software of a run.

    Example: usod report provenance --index ECSSD=results/ECSSD/index.csv --out provenance.md
    """
    from usod.files import write_text
    from usod.reporting.provenance_page import provenance_page

    try:
        settings = json.loads(config)
    except ValueError as error:
        raise UsageError(f"--config: not JSON: {error}") from error
    networks = named_paths(model or [], "--model")
    write_text(out, provenance_page(named_paths(index, "--index"), networks, settings, corrections))
