"""`usod data join`: several data sets as one."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.data import app
from usod.commands.options import Quiet, named_paths


@app.command()
def join(
    part: Annotated[list[str], typer.Option(help="NAME=FILE, once per data set: an image x of it becomes NAME/x.")],
    out: Annotated[Path, typer.Option(help="File of the same kind: index.csv, masks.csv, tags.csv, or a store (.h5).")],
    images: Annotated[Path | None, typer.Option(help="Of features: the joined images (.h5) that they are of.")] = None,
    quiet: Quiet = False,
) -> None:
    """Put tables or stores of several data sets together, as those of one.

    Example: usod data join --part a=results/a/index.csv --part b=results/b/index.csv --out results/both/index.csv
    """
    from usod.data.joined import join as join_files
    from usod.progress import say

    parts = named_paths(part, "--part")
    say(f"{out}: {join_files(parts, out, images)} images of {', '.join(parts)}")
