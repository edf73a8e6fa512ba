"""`usod run`: from a folder of photographs to masks, a model and a report, in one command."""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from usod.commands.options import Quiet

if TYPE_CHECKING:
    from usod.running.supervise import Run

_SNAKEMAKE = "usod.snakemake"
# Options with which jobs may run on other machines: the cores and GPUs of this one are then no limit.
_ELSEWHERE = ("--executor", "-e", "--profile", "--workflow-profile")
_CORES = ("--jobs", "-j", "--cores", "-c")


class WithSnakemake(TyperCommand):
    """A command that keeps what stands behind `--` for Snakemake."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the part behind the first `--` away before the options are read."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_SNAKEMAKE] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


_WHAT = "What to compute"
_WHERE = "Where and how"


def run(
    context: typer.Context,
    photos: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PHOTOS]...", help="Folder of images, or several together; no masks needed."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings that come with usod: own_images (the default), own_images_small, deepusps, a2s, ldps, wss, "
            "smoke, demo ...; or a file like theirs. Without PHOTOS on the data that they name.",
            metavar="NAME",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    configfile: Annotated[
        list[Path] | None,
        typer.Option(
            help="Keys of your own over the preset's; without PHOTOS and --preset a whole configuration. Repeatable.",
            metavar="FILE",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option(help="One key of your own, such as size=160. Repeatable.", metavar="K=V", rich_help_panel=_WHAT),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Only that part: maps, deepusps, masks, benchmark, report, export, a2s_table1, a file ... Repeatable.",
            metavar="NAME",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Everything goes to DIR/results.", metavar="DIR", rich_help_panel=_WHERE)
    ] = Path(),
    gpus: Annotated[
        int | None,
        typer.Option(
            min=0, help="GPUs to use at a time; 0: the CPU. Without it all of this machine.", rich_help_panel=_WHERE
        ),
    ] = None,
    cores: Annotated[str, typer.Option(help="CPU cores to use.", metavar="N", rich_help_panel=_WHERE)] = "all",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would run.", rich_help_panel=_WHERE)
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Make masks of your photographs, a network for others like them, and a report.

    No masks are needed, and no configuration. Run it again to go on after a stop: what is finished is kept.

    Example: usod run photos

    Example: usod run photos more_photos (one training of both)

    Example: usod run photos --out project --gpus 2 --config size=320

    Example: usod run photos --preset a2s --configfile mine.yaml -n

    Example: usod run --preset smoke (small drawn scenes: do all steps run on this machine?)

    Example: usod run photos -- --executor slurm --jobs 50 (what stands behind -- goes to Snakemake)
    """
    from usod.errors import UsageError

    rest: list[str] = context.meta.get(_SNAKEMAKE, [])
    if not photos and not preset and not configfile:
        raise UsageError("say which photographs: usod run FOLDER (or --preset smoke, or --configfile FILE)")
    if not re.fullmatch(r"all|[1-9]\d*", cores):
        raise UsageError(f"--cores {cores}: give a number, or all")
    _check_rest(rest, gpus)
    folder = _made(out)
    keys = [_checked_key(key) for key in config or []]
    places = [_checked_photos(given, folder) for given in photos or []]
    if places:
        keys.append(_pair("images", places[0]) if len(places) == 1 else f"images={json.dumps(places)}")
    if preset is not None:
        keys.append(_pair("preset", _preset(preset)))
    if gpus == 0:
        keys.append("gpu=0")
    options = [*(target or []), *_limits(gpus, cores, rest)]
    options += ["--config", *keys] if keys else []
    options += ["--configfile", *map(_checked_file, configfile)] if configfile else []
    options += ["--dry-run"] if dry_run else []
    began = time.time()
    _report(_to_its_end(options, rest, folder, quiet, dry_run), folder, began)


# ---- the call


def _pair(key: str, text: str) -> str:
    """KEY=VALUE for Snakemake, which takes quotes off a value's ends and reads the rest as YAML."""
    import yaml

    try:
        plain = yaml.load(text, Loader=yaml.BaseLoader) == text and text == text.strip("'\"")
    except yaml.YAMLError:
        plain = False
    # Snakemake strips quotes at the very ends of a value only: a blank on each side keeps them.
    return f"{key}={text}" if plain else f"{key}= {json.dumps(text, ensure_ascii=False)} "


def _checked_key(pair: str) -> str:
    from usod.errors import UsageError

    key, equals, _ = pair.partition("=")
    if not equals or not key:
        raise UsageError(f"--config {pair}: write KEY=VALUE")
    if key in ("images", "preset"):
        raise UsageError(f"--config {pair}: say usod run FOLDER --preset NAME")
    return pair


def _checked_photos(given: str, folder: Path) -> str:
    """The path of the folder of photographs, its links not followed. UsageError if no image is in it.

    A relative path stays one, as seen from the results' `folder`, so that the two can be moved together.
    """
    from usod.data.tree import is_image
    from usod.errors import UsageError

    where = Path(os.path.abspath(given))  # noqa: PTH100  (resolve() would follow links, and the folder gives its name)
    place = f"{given} ({where})" if str(where) != given else given
    if not given.strip():
        raise UsageError("PHOTOS is empty; give the folder of your photographs")
    if where.is_file():
        raise UsageError(f"PHOTOS {place}: is a file; give the folder that it lies in")
    if not where.is_dir():
        raise UsageError(f"PHOTOS {place}: no such folder")
    if not any(is_image(name) for _, _, names in os.walk(where, followlinks=False) for name in names):
        from usod.data.pairing import find_dataset

        find_dataset(where)  # says what is there instead, or follows links to images
    relative = os.path.relpath(where, folder)
    # `..` after a link leads to the parent of the link's target: the relative path may miss the folder.
    stays = not Path(given).is_absolute() and (folder / relative).exists() and (folder / relative).samefile(where)
    return relative if stays else str(where)


def _checked_file(file: Path) -> str:
    from usod.errors import UsageError
    from usod.settings.sections import read_yaml

    if not file.is_file():
        raise UsageError(f"--configfile {file}: no such file ({file.absolute()})")
    read_yaml(file)  # says where it is no YAML
    return str(file.absolute())


def _preset(given: str) -> str:
    """A name of those that come with usod, or the absolute path of a file."""
    from usod.errors import UsageError
    from usod.running.bundle import presets

    known = presets()
    if given in known:
        return str(known[given]) if given == "demo" else given  # the demo lies apart from the others
    if Path(given).is_file():
        return str(Path(given).absolute())
    raise UsageError(f"--preset {given}: neither a file ({Path(given).absolute()}) nor one of {', '.join(known)}")


def _given(rest: list[str], *options: str) -> bool:
    return any(word.partition("=")[0] in options for word in rest)


def _check_rest(rest: list[str], gpus: int | None) -> None:
    """UsageError where an option for Snakemake repeats one that `usod run` itself sets."""
    from usod.errors import UsageError

    for options, instead in (
        (("--config", "-C"), "--config KEY=VALUE before the --"),
        (("--configfile", "--configfiles"), "--configfile FILE before the --"),
        (("--directory", "-d"), "--out DIR"),
        (("--snakefile", "-s"), "snakemake itself"),
        (("--logger",), "snakemake itself"),
    ):
        if _given(rest, *options):
            raise UsageError(f"-- {options[0]}: usod run sets it; use {instead}")
    if gpus and _given(rest, "--resources", "--res"):
        raise UsageError(f"--gpus {gpus} and -- --resources: give one of them")


def _limits(gpus: int | None, cores: str, rest: list[str]) -> list[str]:
    """Cores and GPUs of this machine, unless Snakemake is told to run its jobs elsewhere."""
    from usod.devices import visible_devices
    from usod.errors import UsageError

    elsewhere = _given(rest, *_ELSEWHERE)
    here = len(visible_devices())
    if gpus is None:
        gpus = 0 if elsewhere or _given(rest, "--resources", "--res") else here
    elif gpus > here and not elsewhere:
        raise UsageError(f"--gpus {gpus}: this machine has {here}; without --gpus all of them are used, or the CPU")
    limits = ["--resources", f"gpu={gpus}"] if gpus else []
    given = elsewhere or _given(rest, *_CORES)
    return limits + (["--cores", cores] if cores != "all" or not given else [])


def _made(out: Path) -> Path:
    from usod.errors import UsageError

    folder = Path(os.path.abspath(out))  # noqa: PTH100  (links as the user wrote them)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: no folder can be made there ({error.strerror})") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--out {out}: the folder cannot be written to")
    return folder


# ---- the run


def _to_its_end(options: list[str], rest: list[str], folder: Path, quiet: bool, dry_run: bool) -> "Run":
    """Run Snakemake; if only the lock of a killed run stopped it, unlock the folder and run it once more."""
    from usod.progress import say
    from usod.running.bundle import workflow_folder
    from usod.running.display import RunDisplay
    from usod.running.lock import check_abandoned, mark, unmark
    from usod.running.supervise import supervise

    command = [
        sys.executable,
        "-m",
        "snakemake",
        *options,
        "--logger",
        "usod",
        "--printshellcmds",
        "--rerun-incomplete",
    ]
    command += ["--snakefile", str(workflow_folder() / "Snakefile"), "--directory", str(folder), *rest]
    # The jobs call `usod`: that of this Python, whether its environment was activated or not.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    if dry_run:  # takes no lock
        return supervise(command, environment, folder, RunDisplay(quiet))
    before = mark(folder)
    run = supervise(command, environment, folder, RunDisplay(quiet))
    if any(exception == "LockException" for exception, _ in run.errors):
        check_abandoned(folder, before)
        say("the last run here was killed; going on where it was")
        supervise([*command, "--unlock"], environment, folder, RunDisplay(quiet=True))
        run = supervise(command, environment, folder, RunDisplay(quiet))
    if run.code >= 0:  # else it was killed, and its lock is still there
        unmark(folder)
    return run


def _report(run: "Run", folder: Path, began: float) -> None:
    """Print the last lines: what failed and why, or where the results are."""
    from usod.errors import UsodError
    from usod.progress import duration, say

    if run.stopped is not None:
        raise run.stopped  # the command line says what is kept
    log = _log_since(folder, began)
    whole = f"; everything that Snakemake said: {_shown(log)}" if log else ""
    if run.failed:
        raise UsodError(
            f"{len(run.failed)} of {run.planned} jobs failed, see above{whole}. Mend the cause and say the same again; "
            "what is finished is kept"
        )
    if run.code < 0:
        raise UsodError(f"Snakemake was killed by signal {-run.code}; say the same again to go on{whole}")
    if run.code != 0:
        texts = dict.fromkeys(cleaned(text) for _, text in run.errors)
        if any(exception == "MissingRuleException" for exception, _ in run.errors):
            raise UsodError(f"{' '.join(texts)} Targets are listed by: usod run ... -- --list-target-rules")
        raise UsodError(" ".join(texts) or f"Snakemake ended with code {run.code}{whole}")
    if run.started:
        say(f"{run.started} jobs in {duration(time.time() - began)}")
        _print_places(folder, run.places)
    elif run.nothing_to_do:
        say("nothing to do: everything is there already")
        _print_places(folder, run.places)
    else:
        print("\n\n".join(filter(None, ["\n".join(run.reasons), run.plan, *run.said])))


def _log_since(folder: Path, began: float) -> Path | None:
    logs = sorted(folder.glob(".snakemake/log/*.log"), key=lambda log: log.stat().st_mtime)
    return logs[-1] if logs and logs[-1].stat().st_mtime >= began else None


def _print_places(folder: Path, places: list[tuple[str, str]]) -> None:
    for what, place in places:
        if (folder / place).exists():
            print(f"{what + ':':8} {_shown(folder / place)}", flush=True)


def _shown(path: Path) -> str:
    """The path relative to the current folder where it lies below it, else the absolute path."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def cleaned(error: str) -> str:
    """An error of Snakemake in one line, without the place in the workflow's own files."""
    told = error.partition("Wildcards:")[0].partition("Traceback")[0]
    lines = [line.strip() for line in told.splitlines()]
    # `WorkflowError in file ..., line 3:`, `Error:`, `File ..., line 3, in <module>` say nothing to a user.
    lines = [line for line in lines if line and not re.match(r'File "|\w*(Error|Exception)( in .*)?:$', line)]
    lines = [re.sub(r"^(\w+Error|\w+Exception): ", "", line) for line in lines]
    return " ".join(lines).replace("__main__.py: error:", "Snakemake:")
