"""`usod devices`: show the GPUs, run a command on free ones."""

import sys
from typing import Annotated

import typer

from usod.commands.options import Quiet

app = typer.Typer(no_args_is_help=True, help="Show the GPUs, run a command on free ones.")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after `--`.")],
    count: Annotated[int, typer.Option(min=0, help="GPUs to take; 0: run on the CPU.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Take free GPUs, set CUDA_VISIBLE_DEVICES, run the command; wait while too few are free.

    Example: usod devices run --count 1 -- usod predict model.safetensors photos --out masks
    """
    from usod.devices import run_leased

    sys.exit(run_leased(count, command))


@app.command("list")
def list_devices(quiet: Quiet = False) -> None:
    """List the GPUs that this process may use.

    Example: usod devices list
    """
    from usod.devices import visible_devices

    for name in visible_devices():
        print(name)
