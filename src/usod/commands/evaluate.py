"""`usod evaluate`: score maps against masks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet


class Size(StrEnum):
    mask = "mask"
    map = "map"


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="MapStore, or a folder of map images named like the ids.")],
    index: Annotated[Path | None, typer.Option(help="masks.csv (usod data masks).")] = None,
    masks: Annotated[Path | None, typer.Option(help="Or a folder of masks, matched by name.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="With --masks: salient above this share.")] = 0.5,
    per_image: Annotated[Path | None, typer.Option(help="CSV with one row per image.")] = None,
    json: Annotated[Path | None, typer.Option(help="JSON summary with the protocol and the curves.")] = None,
    normalize: Annotated[bool, typer.Option(help="Stretch every map to 0..1 first, as A2S's code does.")] = False,
    at: Annotated[Size, typer.Option(help="Score at the masks' sizes, or at the maps' as DeepUSPS does.")] = Size.mask,
    skip_empty: Annotated[bool, typer.Option(help="Leave out images whose mask is empty.")] = False,
    quiet: Quiet = False,
) -> None:
    """Score maps against masks: every F-measure of the field, S, E and MAE.

    Example: usod evaluate maps.h5 --index masks.csv --per-image scores.csv --json scores.json
    """
    from usod.data.index import read_masks
    from usod.data.mapstore import open_maps
    from usod.data.mask_folder import masks_in_folder
    from usod.errors import UsageError
    from usod.evaluation.benchmark import evaluate as run
    from usod.progress import progress

    if (index is None) == (masks is None):
        raise UsageError("give the masks: either --index masks.csv or --masks FOLDER")
    maps = open_maps(predictions)
    table = masks_in_folder(masks, maps.ids, threshold) if masks else read_masks(index)  # type: ignore[arg-type]
    result = run(
        maps,
        table,
        per_image_csv=per_image,
        json_path=json,
        normalize=normalize,
        size=at.value,
        empty="skip" if skip_empty else "count",
        progress=lambda ids: progress(ids, len(ids), "scoring"),
    )
    if not quiet:
        for name, value in result.items():
            print(f"{name:12} {value:.4f}" if name != "n" else f"{name:12} {value}")
