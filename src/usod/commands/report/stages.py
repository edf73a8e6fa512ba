"""`usod report stages`: the quality of labels, stage by stage."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.commands.report import Figure, app
from usod.errors import UsageError


@app.command()
def stages(
    score: Annotated[
        list[str],
        typer.Option(
            help="METHOD/STAGE=score.json (usod evaluate --json), once per stage and method, in their order; "
            "METHOD/STAGE/network: what the stage's network gives, beside the labels."
        ),
    ],
    out: Figure,
    csv: Annotated[Path | None, typer.Option(help="The figure's numbers.")] = None,
    quiet: Quiet = False,
) -> None:
    """Draw F, MAE, precision and recall after every stage of every method (as DeepUSPS, Figures 6 and 8).

    F, precision and recall are those of maps above 0.5. Of a METHOD/STAGE/network the line is dashed.

    Example: usod report stages --score rbd/maps=rbd.json --score rbd/consistency=rbd-iter0.json --out stages.svg
    """
    import numpy as np
    import pandas as pd

    from usod.files import atomic_path
    from usod.reporting.figures import label_quality_figure, save
    from usod.reporting.tables import read_curves, read_score

    rows = []
    for name, path in named_paths(score, "--score").items():
        method, *rest = name.split("/")
        if not rest or rest[1:] not in ([], ["network"]):
            raise UsageError(f"--score {name}: write METHOD/STAGE=score.json or METHOD/STAGE/network=score.json")
        found = read_score(path)
        # At the threshold of f_fixed; the score's own precision and recall are at the adaptive one.
        curves = read_curves(path)
        half = int(np.searchsorted(curves["thresholds"], 0.5, side="right"))
        values = {"mae": found["mae"], **{key: curves[key][half] for key in ("precision", "recall")}}
        rows.append({"method": method, "stage": rest[0], "of": "".join(rest[1:]), "f": found["f_fixed"], **values})
    table = pd.DataFrame(rows)
    if csv is not None:
        with atomic_path(csv) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f")
    save(label_quality_figure(table), out)
