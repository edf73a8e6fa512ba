"""`usod data corrections`: human masks of some training images."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.data import app
from usod.commands.options import Quiet


@app.command()
def corrections(
    folder: Annotated[Path, typer.Argument(help="Folder of masks, each with the name of an image: ID.png.")],
    index: Annotated[Path, typer.Option(help="Index of the training images (usod data index).")],
    out: Annotated[Path, typer.Option(help="MapStore of the masks, at their own sizes.")],
    csv: Annotated[Path | None, typer.Option(help="Table of them: id, mask, threshold, foreground_share.")] = None,
    weight: Annotated[
        float, typer.Option(help="What each counts in a training: as if the image were drawn so often.")
    ] = 1.0,
    quiet: Quiet = False,
) -> None:
    """Read human masks of some images, which trainings take in place of their labels.

    Example: usod data corrections mended --index index.csv --out corrections.h5 --csv corrections.csv
    """
    import numpy as np

    from usod.data.images import image_size, read_mask
    from usod.data.index import read_index, write_index
    from usod.data.mapstore import write_maps
    from usod.data.mask_folder import corrections_in_folder
    from usod.errors import UsageError
    from usod.human_labels import human_masks
    from usod.progress import say
    from usod.provenance import describe

    if weight <= 0:
        raise UsageError(f"--weight {weight:g}: give a number above 0")
    images = read_index(index)
    table = corrections_in_folder(folder, images)
    ids = list(table["id"])
    sizes = images.set_index("id").loc[ids, ["height", "width"]].to_numpy()
    own = np.array([image_size(file) for file in table["mask"]])
    attributes = describe({"weight": weight}, {"corrections": folder, "index": index}) | {
        "created_by": "usod data corrections",
        "labels": human_masks(len(ids)),
        "weight": weight,
    }
    with write_maps(out, ids, own, sizes, attributes) as rows:
        rows.fill(np.where(read_mask(file), 255, 0).astype(np.uint8) for file in table["mask"])
    if csv is not None:
        write_index(table, csv)
    say(f"{out}: human masks of {len(ids)} of {len(images)} images, which count {weight:g} times")
