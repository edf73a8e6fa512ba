"""`usod distil`: networks that learn the maps of whatever came before."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usod.commands.options import (
    ConfigText,
    Corrections,
    Device,
    Devices,
    Features,
    Network,
    Quiet,
    Threads,
    WeightsFile,
    Work,
    read_network,
    with_corrections,
)

if TYPE_CHECKING:
    from usod.models.config import NetworkConfig
    from usod.systems.distil_settings import LearnConfig
    from usod.training.parallel import Process

app = typer.Typer(no_args_is_help=True, help="Distillation: networks that learn the maps of whatever came before.")


@app.callback()
def _group() -> None:
    pass


@app.command()
def learn(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    labels: Annotated[Path, typer.Option(help="MapStore of what is learnt: predictions, sharpened or not, or labels.")],
    out: Annotated[Path, typer.Option(help="The network, safetensors.")],
    history: Annotated[Path, typer.Option(help="CSV, one row per epoch.")],
    student: Annotated[bool, typer.Option("--student", help="With the defaults of a student.")] = False,
    config: ConfigText = None,
    network: Network = None,
    weights: WeightsFile = None,
    device: Device = "auto",
    devices: Devices = 1,
    threads: Threads = 0,
    features: Features = None,
    corrections: Corrections = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Train a network on maps.

    Example: usod distil learn --images images.h5 --labels maps.h5 --network network.yaml --out model.safetensors
    --history history.csv
    """
    from usod.devices import start_device
    from usod.provenance import describe
    from usod.settings.sections import parse_section
    from usod.systems.distil_settings import LearnConfig, StudentConfig
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.parallel import processes, run

    settings = parse_section(StudentConfig if student else LearnConfig, config)
    net_config = read_network(network, weights)
    chosen = start_device(device, threads)
    folder = resume_folder(work, out)
    described = {"learn": settings.model_dump(), "network": net_config.model_dump(mode="json")}
    inputs = with_corrections({"images": images, "labels": labels}, corrections)
    origin = describe(described, inputs)
    files = {**inputs, "features": features, "out": out, "history": history}
    run(processes(device, devices), chosen, _learn, files, settings, net_config, origin, folder)
    discard(folder)


def _learn(
    process: "Process",
    files: dict[str, Any],
    settings: "LearnConfig",
    net_config: "NetworkConfig",
    origin: dict[str, Any],
    work: Path | None,
) -> None:
    """One process of the training; the first one writes the results."""
    from contextlib import ExitStack

    from usod.data.features import open_features
    from usod.data.mapstore import ImageStore, MapStore
    from usod.models.model_file import save_model
    from usod.provenance import resume_identity
    from usod.systems import distil
    from usod.training.corrections import Corrections as Taught
    from usod.training.fit import working_size
    from usod.training.history import write_history

    with ExitStack() as stack:
        images = stack.enter_context(ImageStore(files["images"]))
        labels = stack.enter_context(MapStore(files["labels"]))
        features = stack.enter_context(open_features(files["features"]))
        identity = resume_identity(origin, "usod.systems.distil")
        taught = Taught.read(files.get("corrections"), images)
        done = distil.learn(images, labels, settings, net_config, process, features, work, identity, taught)
        if process.rank == 0:
            size = working_size(images.size, net_config, settings.size)
            save_model(files["out"], done.network, net_config, taught.named_in(origin), input_size=size)
            write_history(files["history"], done.history)
