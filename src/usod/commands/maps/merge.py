"""`usod maps merge`: the parts of one data set's maps put together."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.maps import Index, Out, app
from usod.commands.options import Quiet
from usod.errors import UsodError


@app.command()
def merge(
    parts: Annotated[list[Path], typer.Argument(help="MapStores that together hold every image of the index.")],
    index: Index,
    out: Out,
    quiet: Quiet = False,
) -> None:
    """Put the parts of one data set's maps together, in the order of its index.

    Example: usod maps merge rbd.1-of-2.h5 rbd.2-of-2.h5 --index index.csv --out rbd.h5
    """
    import numpy as np

    from usod.data.index import read_index
    from usod.data.mapstore import MapStore, write_maps
    from usod.provenance import describe

    table = read_index(index)
    with ExitStack() as stack:
        stores = [stack.enter_context(MapStore(part)) for part in parts]
        of_id = {key: store for store in stores for key in store.ids}
        missing = [key for key in table["id"] if key not in of_id]
        if missing:
            raise UsodError(f"{parts[0]} and the other parts lack {len(missing)} images of {index}, e.g. {missing[0]}")
        own = np.concatenate([np.empty((0, 2), int), *(of_id[key].sizes_of([key]) for key in table["id"])])
        attributes = describe(stores[0].attributes["config"], {"index": index}) | {
            "created_by": stores[0].attributes["created_by"]
        }
        sizes = table[["height", "width"]].to_numpy()
        with write_maps(out, list(table["id"]), own, sizes, attributes) as rows:
            for key in table["id"]:
                rows[key] = of_id[key].raw(key)
