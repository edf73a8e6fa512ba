"""`usod data check`: check a data set."""

import typer

from usod.commands.data import Layout, Masks, Readers, Root, Without, app
from usod.commands.options import Quiet
from usod.data.parallel import READERS


@app.command()
def check(
    root: Root,
    layout: Layout = "auto",
    masks: Masks = None,
    without: Without = None,
    workers: Readers = READERS,
    quiet: Quiet = False,
) -> None:
    """Check a data set: layout, counts, unmatched names, sizes, masks, unreadable and stray files.

    Example: usod data check ECSSD
    """
    from usod.data.check import check as run_check

    report = run_check(root, layout, progress=True, masks_dir=masks, without=without, workers=workers)
    for line in report.lines():
        print(line)
    raise typer.Exit(0 if report.ok else 1)
