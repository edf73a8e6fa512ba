"""`usod maps import`: maps made elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.maps import Index, Out, app
from usod.commands.options import Quiet


@app.command("import")
def import_maps(
    source: Annotated[Path, typer.Argument(help="Folder of map images named like the ids, or a MapStore.")],
    index: Index,
    out: Out,
    labels: Annotated[
        str | None,
        typer.Option(help="Human labels that went into them: none, masks, ImageNet classes, ...; else what they say."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Take over maps made elsewhere, as they are: a method, a prior, or predictions to be scored.

    Example: usod maps import pngs --index index.csv --out maps.h5
    """
    from usod.data.index import read_index
    from usod.data.mapstore import open_maps, write_maps
    from usod.progress import progress
    from usod.provenance import describe

    table = read_index(index)
    maps = open_maps(source)
    attributes = describe({}, {"maps": source, "index": index}) | {"created_by": "usod maps import"}
    attributes |= {"labels": labels} if labels else {}
    sizes = table[["height", "width"]].to_numpy()
    with write_maps(out, list(table["id"]), maps.sizes_of(list(table["id"])), sizes, attributes) as rows:
        for key in progress(table["id"], len(table), "importing"):
            rows[key] = maps[key]
