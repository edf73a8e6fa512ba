"""`usod weights`: pretrained weights, listed with their licences and brought where they are needed."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Network, Quiet, WeightsFile

app = typer.Typer(no_args_is_help=True, help="Pretrained weights: which there are, under which licence; fetch them.")


@app.command("list")
def list_weights(quiet: Quiet = False) -> None:
    """Show the published weights that are known here: name, human labels seen, size, licence, origin.

    Any other model and tag of timm can be named too. Example: usod weights list
    """
    from usod.models.sources import PUBLISHED

    rows = [("NAME", "NETWORK", "LABELS SEEN", "MB", "LICENCE", "FROM")]
    for known in PUBLISHED:
        size = "?" if known.megabytes is None else str(known.megabytes)
        origin = known.url or known.place
        rows.append((known.name, known.backbone, known.labels, size, known.licence, origin))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name of `usod weights list`, or timm/NAME or timm/NAME.TAG.")],
    out: Annotated[Path, typer.Option(help="Folder to put the file into.")],
    quiet: Quiet = False,
) -> None:
    """Download published weights, for machines without internet; prints the path of the file.

    Example: usod weights fetch dino_vits16 --out weights
    """
    from usod.models.fetching import fetch_weights
    from usod.progress import say

    known, file = fetch_weights(name, out)
    say(f"licence: {known.licence}; human labels seen: {known.labels}")
    say(f"use it: network: {{name: {known.backbone}, weights: {file}}}")
    print(file)


@app.command()
def bring(
    out: Annotated[Path | None, typer.Option(help="Where to put the file; else it is left in the cache.")] = None,
    record: Annotated[Path | None, typer.Option(help="What is known of it, JSON: its origin, digest, labels.")] = None,
    network: Network = None,
    weights: WeightsFile = None,
    quiet: Quiet = False,
) -> None:
    """Bring a network's weights from the cache, the internet or the user's own file. With --out: check that they fit.

    Example: usod weights bring --network '{"name": "mobilenet_v2", "weights": "DEFAULT"}' --out mobilenet.weights
    """
    import json
    import shutil

    from usod.commands.options import read_network
    from usod.errors import UsageError
    from usod.files import atomic_path, write_text
    from usod.models.weights import describe_weights, load_weights, weights_file
    from usod.progress import say

    config = read_network(network, weights)
    file = weights_file(config)
    if file is None:
        raise UsageError("--network: its weights are none; there is nothing to bring")
    if out is None:
        return
    from usod.models.build import build_backbone

    config = config.reading(file)
    say(f"{config.name} from {file}: {load_weights(build_backbone(config), config)}")
    described = describe_weights(config)
    with atomic_path(out) as temporary:
        shutil.copyfile(file, temporary)
    if record is not None:
        write_text(record, json.dumps({"backbone": config.name, "from": str(file), **described}, indent=2) + "\n")
