"""`usod data check`: check a data set."""

import typer

from usod.commands.data import Layout, Masks, Root
from usod.commands.options import Quiet


def check(root: Root, layout: Layout = "auto", masks: Masks = None, quiet: Quiet = False) -> None:
    """Check a data set: layout, counts, unmatched names, sizes, masks, unreadable and stray files.

    Example: usod data check ECSSD
    """
    from usod.data.check import check as run_check

    report = run_check(root, layout, progress=True, masks_dir=masks)
    for line in report.lines():
        print(line)
    raise typer.Exit(0 if report.ok else 1)
