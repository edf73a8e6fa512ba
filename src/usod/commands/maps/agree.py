"""`usod maps agree`: label quality without ground truth."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.maps import app
from usod.commands.options import Quiet, named_paths


@app.command()
def agree(
    labels: Annotated[list[str], typer.Option(help="METHOD=labels.h5, once per method.")],
    csv: Annotated[Path, typer.Option(help="Table, one row per image, the most doubtful first.")],
    before: Annotated[
        list[str] | None, typer.Option(help="METHOD=labels.h5 of the stage before, for what still moves.")
    ] = None,
    learnt: Annotated[
        list[str] | None,
        typer.Option(help="SYSTEM=maps.h5 of a network that learnt from the labels, for the column nothing."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="index.csv: adds the images' paths as the column filepath (FiftyOne).")
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="CSV with a column id: images that are mended already. They come last, marked `corrected`."),
    ] = None,
    arrays: Annotated[
        Path | None, typer.Option(help="Folder for labels.npy and pred_probs.npy, as cleanlab takes them.")
    ] = None,
    given: Annotated[str, typer.Option(help="With --arrays: the method whose labels are judged by the others.")] = "",
    side: Annotated[int, typer.Option(min=8, help="With --arrays: their height and width.")] = 128,
    quiet: Quiet = False,
) -> None:
    """Rank the images by how much the methods disagree on them: those to look at where there are no masks.

    The column nothing is how likely it is that an image shows nothing salient, from 0 to 1.

    Example: usod maps agree --labels rbd=rbd.h5 --labels mc=mc.h5 --index index.csv --csv doubts.csv
    """
    from numpy.typing import NDArray

    from usod.data.images import resize_map
    from usod.data.index import read_index
    from usod.data.listed import read_rows
    from usod.data.mapstore import MapStore
    from usod.evaluation.agreement import agreement, ranked, write_arrays
    from usod.files import atomic_path
    from usod.progress import progress

    with ExitStack() as stack:
        now, earlier, final = (
            {name: stack.enter_context(MapStore(path)) for name, path in named_paths(given_paths, option).items()}
            for given_paths, option in ((labels, "--labels"), (before or [], "--before"), (learnt or [], "--learnt"))
        )
        first = next(iter(now.values()))
        ids = first.ids
        for store in [*now.values(), *earlier.values(), *final.values()]:
            store.require(ids)

        def maps(key: str, stores: dict[str, MapStore]) -> dict[str, NDArray]:
            # Handcrafted maps have sizes of their own, what networks learnt has one.
            (shape,) = first.sizes_of([key]).tolist()
            return {name: resize_map(store[key], shape) for name, store in stores.items()}

        def every() -> Iterator[dict[str, NDArray]]:
            return (maps(key, now) for key in ids)

        rows = [
            {"id": key, **agreement(maps(key, now), maps(key, earlier), maps(key, final))}
            for key in progress(ids, len(ids), "comparing")
        ]
        table = ranked(rows, set(read_rows(corrections).index) if corrections else None)
        if index is not None:
            images = read_index(index).set_index("id")["image"]
            table.insert(2, "filepath", [images.get(key, "") for key in table["id"]])
        if arrays is not None:
            write_arrays(arrays, every(), ids, given or next(iter(now)), side)
    with atomic_path(csv) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
