"""`usod data index`: list the images of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.data import (
    Layout,
    Masks,
    OnlyTags,
    Readers,
    Root,
    Split,
    Tags,
    Without,
    WithoutTags,
    app,
    tag_choice,
)
from usod.commands.options import Quiet
from usod.data.parallel import READERS


@app.command()
def index(
    root: Root,
    out: Annotated[Path, typer.Option(help="CSV: id, image, height, width, sha256, split, split_from, dhash, rights.")],
    layout: Layout = "auto",
    split: Split = None,
    masks: Masks = None,
    without: Without = None,
    workers: Readers = READERS,
    published_as: Annotated[
        str | None, typer.Option(help="The set's name in published tables: a split of our own is refused.")
    ] = None,
    tags: Tags = None,
    only_tag: OnlyTags = None,
    without_tag: WithoutTags = None,
    rights: Annotated[
        str | None, typer.Option(help="Licence and author of the images in words, or a CSV (id,rights).")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """List the images of a data set, each decoded once to prove that it can be. No mask is opened.

    Example: usod data index ECSSD --out index.csv
    """
    from usod.data.index import build_index, write_index
    from usod.progress import say

    table = build_index(
        root,
        layout,
        split,
        progress=True,
        masks_dir=masks,
        without=without,
        workers=workers,
        published_as=published_as,
        tagged=tag_choice(tags, only_tag, without_tag),
        rights=rights,
    )
    write_index(table, out)
    say(f"{out}: {len(table)} images, layout {table.attrs['layout']}, splits from {table.attrs['split_source']}")
    for note in table.attrs["notes"]:
        say(f"note: {note}")
