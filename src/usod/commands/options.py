"""Options that several verbs share, with one wording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usod.errors import UsageError
from usod.progress import set_quiet

if TYPE_CHECKING:
    from usod.models.config import NetworkConfig

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", callback=set_quiet)]
Device = Annotated[str, typer.Option(help="auto (CUDA where there is any), cpu, cuda or cuda:N.")]
Devices = Annotated[
    int, typer.Option(min=0, help="GPUs that train it together, each with a part of every batch; 0, 1: one device.")
]
ConfigText = Annotated[
    str | None, typer.Option("--config", help="Settings of this step: JSON, or the path of a YAML file.")
]
Network = Annotated[str | None, typer.Option(help="The network: JSON, or the path of a YAML file.")]
WeightsFile = Annotated[
    Path | None, typer.Option("--weights", help="The file of the network's weights: a copy of what its JSON names.")
]
Features = Annotated[
    Path | None, typer.Option(help="Features of the network's frozen encoder for the images (usod features).")
]
Work = Annotated[
    str | None,
    typer.Option(help="Folder for the resume state; else .resume beside the model. none: nothing can be resumed."),
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads of PyTorch, one per core at most; 0: its own choice.")]
Corrections = Annotated[
    Path | None,
    typer.Option("--corrections", help="Human masks of some of the images (usod data corrections): the labels there."),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes to work with.")]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="With --index: the folder it was made of; names are relative to it."),
]
Part = Annotated[
    list[str] | None,
    typer.Option("--part", help="Of joined data sets, in place of --root: NAME=FOLDER, for each."),
]
Only = Annotated[
    Path | None, typer.Option("--only", help="CSV with a column id, such as the gallery's list: these images alone.")
]
Count = Annotated[int | None, typer.Option("--count", min=1, help="With --only: no more than its first images.")]


def named_paths(items: list[str], option: str) -> dict[str, Path]:
    """`NAME=path` items of a repeated option.

    Raises
    ------
    UsageError
        If one is written otherwise or a name comes twice.
    """
    paths: dict[str, Path] = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or not name or not path:
            raise UsageError(f"{option} {item}: write NAME=path")
        if name in paths:
            raise UsageError(f"{option} {item}: {name!r} is named twice")
        paths[name] = Path(path)
    return paths


def image_folders(root: Path | None, parts: list[str] | None) -> dict[str, Path]:
    """What `--root` and `--part` say: the folders of images as `usod.data.places` takes them.

    Raises
    ------
    UsageError
        If both are given.
    """
    if root is not None and parts:
        raise UsageError("--root and --part: give one of them, --part for sets that were joined")
    return {"": root} if root is not None else named_paths(parts or [], "--part")


def with_corrections(inputs: dict[str, Path], corrections: Path | None) -> dict[str, Path]:
    """The named inputs of a training, human masks among them where there are any."""
    return inputs if corrections is None else inputs | {"corrections": corrections}


def read_network(text: str | None, weights: Path | None) -> "NetworkConfig":
    """The network of `--network`, its weights read from the file of `--weights` where that is given.

    Raises
    ------
    UsageError
        If the text is no network.
    """
    from usod.models.config import NetworkConfig
    from usod.settings.sections import parse_section

    return parse_section(NetworkConfig, text, "--network").reading(weights)
