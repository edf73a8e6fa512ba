"""`usod data masks`: list the masks of a data set."""

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
def masks(
    root: Root,
    out: Annotated[Path, typer.Option(help="CSV: id, mask, threshold, foreground_share.")],
    layout: Layout = "auto",
    split: Split = None,
    masks: Masks = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Mask values above this share are salient.")] = 0.5,
    without: Without = None,
    workers: Readers = READERS,
    tags: Tags = None,
    only_tag: OnlyTags = None,
    without_tag: WithoutTags = None,
    quiet: Quiet = False,
) -> None:
    """List the masks of a data set, under the ids of its images. Evaluation alone reads this list.

    Give the same --layout, --split, --masks, --without and tags as to `usod data index`.

    Example: usod data masks ECSSD --out masks.csv
    """
    from usod.data.index import build_masks, write_index
    from usod.progress import say

    tagged = tag_choice(tags, only_tag, without_tag)
    table = build_masks(root, layout, masks, threshold, split, True, without, workers, tagged)
    write_index(table, out)
    say(f"{out}: {len(table)} masks, salient above {threshold} of the full range")
    for note in table.attrs["notes"]:
        say(f"note: {note}")
