"""`usod <group> <verb>`: one verb per kind of step."""

import os
import signal
import sys
import threading
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, NoReturn

import typer

from usod.commands.evaluate import evaluate
from usod.commands.evaluate_epochs import evaluate_epochs
from usod.commands.export import export
from usod.commands.features import features
from usod.commands.predict import predict
from usod.commands.run import WithSnakemake, run
from usod.commands.status import status
from usod.errors import UsageError, UsodError
from usod.heartbeat import beating

# Typer carries its own copy of Click and does not export the base class of its errors.
_WrongCall: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Saliency masks from unlabelled images: handcrafted maps, refined and fused by networks.",
)
# `usod GROUP VERB` is in commands/GROUP.py or, where that is a folder, in commands/GROUP/VERB.py.
GROUPS = (
    *("data", "maps", "labels", "crf"),
    *("deepusps", "a2s", "wss", "ldps", "spectral", "vote", "distil"),
    *("weights", "config", "devices", "report"),
)
app.command(cls=WithSnakemake)(run)
for verb in (status, predict, features, evaluate, evaluate_epochs, export):
    app.command()(verb)
for group in GROUPS:
    module = import_module(f"usod.commands.{group}")
    for file in iter_modules(getattr(module, "__path__", ())):
        import_module(f"{module.__name__}.{file.name}")
    app.add_typer(module.app, name=group)


GONE = {
    "evaluate --normalize": "say --protocol a2s",
    "evaluate --at": "say --protocol deepusps",
    "maps extract --size": "maps keep the sizes of their images; leave it out",
    "maps import --size": "maps keep their own sizes; leave it out",
    "a2s stage1 --out-labels": "labels are made by usod a2s labels",
}
"""Options that there were, and what to do without them."""


def _version(wanted: bool) -> None:
    if wanted:
        from usod.provenance import usod_version

        print(f"usod {usod_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exit codes: 0, 1 (the work failed), 2 (the call is wrong)."""
    # A scheduler stops a job with SIGTERM: unwind, so that temporary files are removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    interrupted = threading.Event()
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, lambda number, _: _interrupt(interrupted))
    try:
        # Without the stand-alone mode the errors of a wrong call come here too, to be one line like all others.
        with beating(sys.argv[1:]):
            code = app(standalone_mode=False)
        if interrupted.is_set():  # Typer makes an exit code of it
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except _WrongCall as error:
        if not error.format_message():  # a group without a verb has printed its help
            sys.exit(2)
        typed = f"{getattr(error.ctx, 'command_path', '')} {getattr(error, 'option_name', '')}"
        instead = next((f"; {remedy}" for option, remedy in GONE.items() if typed.endswith(option)), "")
        _fail(f"{error.format_message()}{instead} (see --help)", 2)
    except UsageError as error:
        _fail(error, 2)
    except UsodError as error:
        _fail(error, 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail(
            "stopped; say the same again: files that are finished are kept, and a training loses one epoch at most", 130
        )
    except MemoryError:
        _fail("out of memory; use a smaller batch, fewer workers or a smaller working size", 1)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's, which is not imported here
            raise
        _fail("the GPU is out of memory; use a smaller batch, --crf-memory-gb or a smaller working size", 1)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has what it wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _interrupt(interrupted: threading.Event) -> NoReturn:
    interrupted.set()
    raise KeyboardInterrupt


def _fail(message: object, code: int) -> NoReturn:
    print(f"usod: error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(code)
