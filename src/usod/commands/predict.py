"""`usod predict`: saliency maps of images with a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Device, Quiet, Threads


def predict(
    model: Annotated[Path, typer.Argument(help="model.safetensors of a stage or of the fusion.")],
    inputs: Annotated[list[Path], typer.Argument(help="Images and folders of images, or one images.h5.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for PNG maps at the images' sizes, or a MapStore (.h5).")
    ],
    crf: Annotated[
        str, typer.Option(help="Dense CRF on the predictions: none, default, JSON or a YAML file.")
    ] = "none",
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 16,
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Predict saliency maps.

    Example: usod predict model.safetensors photos --out maps
    """
    from usod.devices import describe_device, start_device
    from usod.errors import UsageError
    from usod.inference.predict import Model, predict_files, predict_store
    from usod.progress import say
    from usod.sections import CrfConfig, parse_section

    start_device(device, threads)
    settings = None if crf == "none" else parse_section(CrfConfig, None if crf == "default" else crf, "--crf")
    if (out.suffix == ".h5") != (len(inputs) == 1 and inputs[0].suffix == ".h5"):
        raise UsageError(f"--out {out}: an images.h5 gives a MapStore (.h5), images and folders give a folder")
    network = Model(model, device, crf=settings)
    say(f"{model}: working size {network.size}, on {describe_device(network.device)}")
    if out.suffix == ".h5":
        predict_store(network, model, inputs[0], out, batch)
    else:
        predict_files(network, inputs, out, batch)
