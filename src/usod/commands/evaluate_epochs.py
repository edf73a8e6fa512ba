"""`usod evaluate-epochs`: score the watched maps of a training, epoch by epoch."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet


def evaluate_epochs(
    watched: Annotated[Path, typer.Argument(help="Watched maps of a training (usod a2s stage1 --out-watched).")],
    index: Annotated[Path, typer.Option(help="masks.csv (usod data masks).")],
    out: Annotated[Path, typer.Option(help="CSV with one row per epoch.")],
    quiet: Quiet = False,
) -> None:
    """Score the watched images of a training after every epoch: MAE and adaptive F.

    Example: usod evaluate-epochs watched.h5 --index masks.csv --out epochs.csv
    """
    from usod.data.index import read_masks
    from usod.data.mapstore import MapStore
    from usod.evaluation.epochs import evaluate_epochs as run
    from usod.files import atomic_path

    with MapStore(watched) as maps, atomic_path(out) as temporary:
        run(maps, read_masks(index)).to_csv(temporary, index=False, float_format="%.6f")
