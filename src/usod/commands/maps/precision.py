"""`usod maps precision`: how much of what maps are sure of is foreground."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.maps import app
from usod.commands.options import Quiet


@app.command()
def precision(
    maps: Annotated[Path, typer.Argument(help="MapStore, or a folder of map images named like the ids.")],
    index: Annotated[Path | None, typer.Option(help="masks.csv (usod data masks).")] = None,
    masks: Annotated[Path | None, typer.Option(help="Or a folder of masks, matched by name.")] = None,
    theta: Annotated[
        list[float] | None, typer.Option(min=0, max=1, help="Sure from here on; may be repeated. [default: 0.9]")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="The same as a table, with one row per theta.")] = None,
    quiet: Quiet = False,
) -> None:
    """The share of foreground among the pixels that maps are sure of (LDPS's true foreground ratio, 5.5: .9003 at .9).

    Example: usod maps precision their_maps --masks ECSSD/ground_truth_mask --theta 0.9 --theta 0.8
    """
    from usod.data.mapstore import open_maps
    from usod.data.mask_folder import given_masks
    from usod.evaluation.benchmark import MaskTable
    from usod.evaluation.true_foreground import true_foreground
    from usod.files import atomic_path
    from usod.progress import progress

    read_masks = given_masks(index, masks)
    given = open_maps(maps)
    table = read_masks(given.ids)
    found = true_foreground(given, MaskTable(table), theta or [0.9], lambda ids: progress(ids, len(ids), "counting"))
    if csv is not None:
        with atomic_path(csv) as temporary:
            found.to_csv(temporary, index=False, float_format="%.6f")
    if not quiet:
        for row in found.to_dict("records"):
            if not row["images"]:
                print(f"theta {row['theta']:g}: none of {len(table)} images has a sure pixel")
                continue
            print(
                f"theta {row['theta']:g}: {row['ratio']:.4f} of the sure pixels are foreground (image by image "
                f"{row['image_mean']:.4f}); {row['images']} of {len(table)} images have some, {row['area']:.1%} of all "
                "pixels"
            )
