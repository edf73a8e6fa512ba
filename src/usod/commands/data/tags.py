"""`usod data tags`: list which things are in each image."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.data import app
from usod.commands.options import Quiet


@app.command()
def tags(
    index: Annotated[Path, typer.Option(help="CSV of `usod data index`.")],
    source: Annotated[
        str,
        typer.Option(help="CSV (id, tags), a folder of XML annotations (ImageNet DET, PASCAL VOC), or folders."),
    ],
    out: Annotated[Path, typer.Option(help="CSV: id, tags separated by semicolons.")],
    quiet: Quiet = False,
) -> None:
    """List which things are in each image (image-level tags, for `usod wss`).

    Example: usod data tags --index index.csv --source Annotations --out tags.csv
    """
    from usod.data.index import read_index
    from usod.data.tags import find_tags, write_tags
    from usod.progress import say

    table = read_index(index)
    found = find_tags(table["id"].tolist(), source, table["image"].tolist())
    write_tags(out, found)
    kinds = {tag for of_image in found.values() for tag in of_image}
    without = sum(not of_image for of_image in found.values())
    say(f"{out}: {len(kinds)} tags, {without} of {len(found)} images have none")
