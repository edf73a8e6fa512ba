"""`usod evaluate`: score maps against masks."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="MapStore, or a folder of map images named like the ids.")],
    index: Annotated[Path | None, typer.Option(help="masks.csv (usod data masks).")] = None,
    masks: Annotated[Path | None, typer.Option(help="Or a folder of masks, matched by name.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="With --masks: salient above this share.")] = 0.5,
    per_image: Annotated[Path | None, typer.Option(help="CSV with one row per image.")] = None,
    json: Annotated[Path | None, typer.Option(help="JSON summary with the protocol and the curves.")] = None,
    protocol: Annotated[
        list[str],
        typer.Option(
            help="Score as a paper did, too: deepusps, a2s, ldps, wss, selfmask, csnet, own; may be repeated."
        ),
    ] = [],  # noqa: B006 - typer's way to say what is there without the option
    without: Annotated[
        Path | None, typer.Option(help="CSV with a column id: images that are left out, such as corrected ones.")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(help="With --without: its ids begin with this and /, or those of the maps do (usod data join)."),
    ] = None,
    skip_empty: Annotated[bool, typer.Option(help="Leave out images whose mask is empty.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Threads that score; 0: one per core.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Score maps against masks: every F-measure of the field, S, E and MAE.

    At the masks' sizes, nothing stretched. Papers measured in other ways: --protocol.

    Example: usod evaluate maps.h5 --index masks.csv --per-image scores.csv --json scores.json --protocol deepusps
    """
    from usod.data.listed import read_rows
    from usod.data.mapstore import open_maps
    from usod.data.mask_folder import given_masks
    from usod.devices import cpu_cores
    from usod.errors import UsageError, UsodError
    from usod.evaluation.benchmark import evaluate as run
    from usod.progress import progress

    if part is not None and without is None:
        raise UsageError("--part: says of which set the images of --without are; give both")
    read_masks = given_masks(index, masks, threshold)
    maps = open_maps(predictions)
    table = read_masks(maps.ids)
    left_out = _same_images(set(read_rows(without).index), set(table["id"]), part) if without else set()
    if len(left_out) == len(table):
        raise UsodError(f"{without}: leaves out all {len(table)} images with masks; score on others")
    result = run(
        maps,
        table[~table["id"].isin(left_out)],
        left_out=len(left_out),
        per_image_csv=per_image,
        json_path=json,
        under=protocol,
        empty="skip" if skip_empty else "count",
        progress=lambda ids: progress(ids, len(ids), "scoring"),
        threads=workers or cpu_cores(),
    )
    if not quiet:
        under = result.pop("protocols")
        for name, value in result.items():
            print(f"{name:12} {value:.4f}" if name != "n" else f"{name:12} {value}")
        for name, values in under.items():
            print(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in values.items()))


def _same_images(ids: set[str], among: set[str], part: str | None) -> set[str]:
    """Those `among` that are one of `ids`, where a data set called `part` was joined with others in one of the two."""
    if part is None:
        return ids & among
    return {
        key for key in among if f"{part}/{key}" in ids or (key.startswith(f"{part}/") and key[len(part) + 1 :] in ids)
    }
