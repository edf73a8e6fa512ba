"""`usod status`: what a run of the workflow is doing, on one screen."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Quiet


def status(
    results: Annotated[Path, typer.Argument(help="The --out of usod run, or the results in it.")] = Path(),
    once: Annotated[
        bool, typer.Option(help="Print it once, as plain text; so it is wherever there is no terminal.")
    ] = False,
    json: Annotated[bool, typer.Option(help="Print it once, as JSON.")] = False,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 3.0,
    quiet: Quiet = False,
) -> None:
    """Show what a run is doing: its jobs, their epoch, loss, speed and time left, what failed, what is done.

    All is read from files, so it can be asked in another terminal or on another machine that sees the folder; the jobs
    may run on a cluster. A job that was killed is told as that. Ctrl-C ends the look, not the run.

    Example: usod status

    Example: usod status project --once
    """
    import signal
    import sys
    import time

    from rich.console import Console
    from rich.live import Live

    from usod.running.screen import screen
    from usod.running.status import folder_of, read_status

    folder = folder_of(results)
    if quiet:
        return
    console = Console()
    if json:
        import json as text

        print(text.dumps(read_status(folder).as_json(), indent=1))
        return
    if once or not console.is_terminal:
        Console(width=max(console.width, 140) if not console.is_terminal else None).print(
            screen(read_status(folder), 10**6)
        )
        return
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))  # the way to end a look is no error
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen(read_status(folder), console.height), refresh=True)
            time.sleep(every)
