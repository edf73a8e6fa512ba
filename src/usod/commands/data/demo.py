"""`usod data demo`: draw the demo scenes."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.data import app
from usod.commands.options import Quiet


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write images/, masks/, tags.csv and split.csv to.")],
    train: Annotated[int, typer.Option(min=0, help="Scenes to train on.")] = 160,
    test: Annotated[int, typer.Option(min=0, help="Unseen scenes to test on.")] = 80,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Longer side in pixels.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same scenes.")] = 0,
    held_out: Annotated[
        list[str] | None, typer.Option(help="Kind of object that appears in test scenes only; once for each.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Draw scenes with textured salient objects, their exact masks and their tags.

    Example: usod data demo --out scenes --train 160 --test 80
    """
    from usod.data.scenes import write_demo

    write_demo(out, train=train, test=test, size=size, seed=seed, held_out=held_out or ())
