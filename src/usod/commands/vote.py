"""`usod vote`: one label set of several, without training."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet, named_paths
from usod.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Votes: one label set of several, without training.")


class Rule(StrEnum):
    majority = "majority"
    weighted = "weighted"
    best = "best"


@app.callback()
def _group() -> None:
    pass


@app.command()
def make(
    out: Annotated[Path, typer.Option("--out", "-o", help="MapStore of the fused labels.")],
    labels: Annotated[list[str] | None, typer.Option(help="NAME=labels.h5, once per label set.")] = None,
    maps: Annotated[
        list[str] | None, typer.Option(help="METHOD=maps.h5: handcrafted maps, which vote above 1.5 times their mean.")
    ] = None,
    rule: Annotated[
        Rule, typer.Option(help="majority; weighted by agreement with the others; or best: the one vote of most IoU.")
    ] = Rule.majority,
    size: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Maps that have sizes of their own vote as squares of this side, in pixels; else at the size of the "
            "other labels, or at 432.",
        ),
    ] = None,
    soft: Annotated[bool, typer.Option("--soft", help="Keep each pixel's share of the votes.")] = False,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Labels vote where they are above.")] = 0.5,
    threshold_factor: Annotated[
        float, typer.Option(min=0, help="Of --maps: they vote above this times their mean over all images.")
    ] = 1.5,
    quiet: Quiet = False,
) -> None:
    """Make one label set of several: what most of them call salient, or the one that agrees most with the others.

    Example: usod vote make --maps rbd=rbd.h5 --maps mc=mc.h5 --labels selfment=selfment.h5 --rule best --out fused.h5
    """
    from contextlib import ExitStack

    import numpy as np

    from usod.data.mapstore import MapStore, write_maps
    from usod.data.store import to_uint8
    from usod.progress import progress
    from usod.provenance import describe
    from usod.systems import vote

    handcrafted, learnt = named_paths(maps or [], "--maps"), named_paths(labels or [], "--labels")
    paths = handcrafted | learnt
    if twice := handcrafted.keys() & learnt:
        raise UsageError(f"--labels {min(twice)}: --maps has that name, too; give each label set once")
    if len(paths) < 2:
        raise UsageError(f"--labels, --maps: {len(paths)} cannot vote; give NAME=FILE of two label sets or more")
    settings = {"rule": rule.value, "soft": soft, "threshold": threshold, "threshold_factor": threshold_factor}
    attributes = describe({"vote": settings, "maps": list(handcrafted)}, paths) | {"created_by": "usod vote make"}
    with ExitStack() as stack:
        stores = {name: stack.enter_context(MapStore(path)) for name, path in paths.items()}
        of_labels = (store.size for store in stores.values() if store.sizes is None)
        shared = (size, size) if size else next(of_labels, (432, 432))
        for store in stores.values():
            store.serve_at(shared)
        first, *others = stores.values()
        for store in others:
            store.require_like(first)
        above = {
            name: vote.discretisation_threshold((to_uint8(store[key]) for key in first.ids), threshold_factor)[0]
            if name in handcrafted
            else threshold
            for name, store in stores.items()
        }
        with write_maps(out, first.ids, first.size, first.original_size, attributes) as rows:
            for key in progress(first.ids, len(first), "voting"):
                votes = np.stack([store[key] > above[name] for name, store in stores.items()])
                rows[key] = vote.fuse(votes, rule.value, soft)
