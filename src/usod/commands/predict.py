"""`usod predict`: saliency maps of images with a trained model."""

from enum import StrEnum
from glob import glob
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from usod.commands.options import Device, Features, Quiet, Threads


class Precision(StrEnum):
    auto = "auto"
    float32 = "float32"
    bf16 = "bf16"


class Type(StrEnum):
    map = "map"
    mask = "mask"
    rgba = "rgba"
    overlay = "overlay"


class Alpha(StrEnum):
    map = "map"
    closed_form = "closed-form"
    knn = "knn"


class Video(StrEnum):
    prores = "prores"
    vp9 = "vp9"


def predict(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a stage or of the fusion.")],
    inputs: Annotated[list[Path], typer.Argument(help="Images, films, folders of them, or one images.h5.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for PNG files at the images' sizes, or a MapStore (.h5).")
    ],
    kind: Annotated[
        Type, typer.Option("--type", help="Grey map, black and white mask, object cut out, overlay.")
    ] = Type.map,
    threshold: Annotated[
        str, typer.Option(help="Of masks and overlays: a number from 0 to 1, adaptive (twice the mean), or otsu.")
    ] = "0.5",
    smallest: Annotated[
        float, typer.Option(min=0, max=1, help="Drop regions of a mask below this share of the image.")
    ] = 0.0,
    fill: Annotated[bool, typer.Option("--fill", help="Fill the holes of masks.")] = False,
    edges: Annotated[
        int,
        typer.Option(min=0, help="Move a map's edges onto the image's: radius of a guided filter, pixels."),
    ] = 0,
    alpha: Annotated[
        Alpha | None,
        typer.Option(
            help="Opacity of rgba: closed-form matting at the map's edges (the default), KNN matting, or the map."
        ),
    ] = None,
    video: Annotated[
        Video | None,
        typer.Option(help="Of films: one film, in ProRes (.mov) or VP9 (.webm), with alpha if rgba; else PNG frames."),
    ] = None,
    smooth: Annotated[
        float,
        typer.Option(help="Of films: share of the present in the maps' average over time, along the motion; 1: none."),
    ] = 1.0,
    skip_empty: Annotated[
        bool,
        typer.Option("--skip-empty", help="No file for images that show nothing salient; skipped.csv lists them."),
    ] = False,
    empty_above: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="With --skip-empty: from how likely on; without it 0.8 (docs/experiments.md)."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make files that are there already again.")] = False,
    crf: Annotated[
        str,
        typer.Option(help="Dense CRF on the predictions: what the model says, none, default, JSON or a YAML file."),
    ] = "model",
    features: Features = None,
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 16,
    precision: Annotated[
        Precision, typer.Option(help="auto: bf16 on CUDA; float32, as the authors of the papers had.")
    ] = Precision.auto,
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Predict saliency maps, masks or cut-outs.

    Example: usod predict model.safetensors photos --out masks --type mask --threshold otsu --smallest 0.01
    """
    from functools import partial

    import numpy as np

    from usod.devices import describe_device, start_device
    from usod.emptiness import THRESHOLD
    from usod.errors import UsageError
    from usod.inference.predict import Model, predict_files, predict_store
    from usod.inference.predict_film import film_names, is_film, predict_films
    from usod.inference.render import binarise, render
    from usod.progress import say
    from usod.provenance import file_digest
    from usod.settings.sections import CrfConfig, parse_section

    start_device(device, threads)
    settings: CrfConfig | Literal["model"] | None = "model" if crf == "model" else None
    if crf not in ("model", "none"):
        settings = parse_section(CrfConfig, None if crf == "default" else crf, "--crf")
    if (out.suffix == ".h5") != (len(inputs) == 1 and inputs[0].suffix == ".h5"):
        raise UsageError(f"--out {out}: an images.h5 gives a MapStore (.h5), images and folders give a folder")
    if features is not None and out.suffix != ".h5":
        raise UsageError("--features: of an images.h5 only; without it the encoder sees the images themselves")
    if out.suffix == ".h5" and kind is not Type.map:
        raise UsageError(f"--type {kind.value}: a MapStore holds maps; give a folder for --out, or --type map")
    if alpha is not None and kind is not Type.rgba:
        raise UsageError(f"--alpha {alpha.value}: is of --type rgba")
    binarise(np.zeros((1, 1)), threshold)  # a wrong one is refused before any work
    cleaned: dict[str, Any] = {
        "threshold": threshold,
        "smallest": smallest,
        "fill": fill,
        "edges": edges,
        "alpha": (alpha or Alpha.closed_form).value,
    }
    draw = partial(render, kind.value, **cleaned)
    if out.suffix == ".h5" and skip_empty:
        raise UsageError("--skip-empty: is of images and folders; a MapStore has a map of every image")
    if empty_above is not None and not skip_empty:
        raise UsageError("--empty-above: is of --skip-empty; say both")
    limit = (THRESHOLD if empty_above is None else empty_above) if skip_empty else None
    inputs = expanded(inputs)
    coded: Literal["prores", "vp9"] | None = video.value if video else None
    films = {} if out.suffix == ".h5" else film_names(inputs, out, coded)
    if not films and (coded or smooth != 1):
        raise UsageError(f"{inputs[0]}: --video and --smooth are of films, and there is none")
    if films and skip_empty:
        raise UsageError(f"{next(iter(films))}: --skip-empty is of images, a film keeps all frames; leave one out")
    network = Model(model, device, crf=settings, precision=precision.value)
    say(f"{model}: working size {network.size}, on {describe_device(network.device)}")
    if out.suffix == ".h5":
        predict_store(network, model, inputs[0], out, batch, features)
        return
    pictures = [given for given in inputs if not is_film(given)]
    predict_files(network, pictures, out, batch, draw, overwrite, bool(films), limit)
    if films:
        decides = [file_digest(model), crf, kind.value, cleaned, precision.value]
        predict_films(network, films, batch, draw, decides, smooth, coded, overwrite)


def expanded(inputs: list[Path]) -> list[Path]:
    """The inputs, those with * or ? that are no files themselves replaced by what they match."""
    found: list[Path] = []
    for given in inputs:
        # Path.glob takes no absolute patterns.
        names = [] if given.exists() else glob(str(given), recursive=True)  # noqa: PTH207
        matches = sorted(Path(name) for name in names)
        found += matches or [given]
    return found
