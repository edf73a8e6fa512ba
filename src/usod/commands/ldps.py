"""`usod ldps`: train the relation network on a prior, and refine priors with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.options import (
    ConfigText,
    Corrections,
    Device,
    Devices,
    Network,
    Quiet,
    Threads,
    WeightsFile,
    Work,
    read_network,
    with_corrections,
)

app = typer.Typer(no_args_is_help=True, help="LDPS: refine anybody's saliency maps without labels.")
Images = Annotated[Path, typer.Option(help="Images at working size (usod data images).")]
Prior = Annotated[Path, typer.Option(help="Maps: a MapStore, or a folder of images named like the ids.")]
Merging = Annotated[str | None, typer.Option("--merge", help="theta_fg, stretch: JSON, or the path of a YAML file.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="MapStore of the refined maps, at the prior's own sizes.")]


@app.command()
def train(
    images: Images,
    prior: Prior,
    out_model: Annotated[Path, typer.Option(help="The relation network, safetensors.")],
    history: Annotated[Path, typer.Option(help="CSV, one row per epoch.")],
    config: ConfigText = None,
    network: Network = None,
    weights: WeightsFile = None,
    device: Device = "auto",
    devices: Devices = 1,
    threads: Threads = 0,
    corrections: Corrections = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Learn which pixels belong together, from the pixels of which a prior's maps are sure.

    Example: usod ldps train --images images.h5 --prior their_maps --network '{"name": "mobilenet_v2", "weights":
    "DEFAULT"}' --out-model relation.safetensors --history history.csv
    """
    from usod.devices import start_device
    from usod.provenance import describe
    from usod.settings.sections import RelationConfig, parse_section
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.parallel import processes, run

    settings = parse_section(RelationConfig, config)
    net_config = read_network(network, weights)
    chosen = start_device(device, threads)
    folder = resume_folder(work, out_model)
    described = {"relation": settings.model_dump(), "network": net_config.model_dump(mode="json")}
    inputs = with_corrections({"images": images, "prior": prior}, corrections)
    origin = describe(described, inputs)
    outputs = (out_model, history)
    run(processes(device, devices), chosen, _train, inputs, settings, net_config, origin, outputs, folder)
    discard(folder)


def _train(
    process: Any,
    inputs: dict[str, Path],
    settings: Any,
    net_config: Any,
    origin: dict[str, Any],
    outputs: tuple[Path, Path],
    work: Path | None,
) -> None:
    """One process of the training; the first one writes the results."""
    from usod.data.mapstore import ImageStore, open_maps
    from usod.models.model_file import save_model
    from usod.provenance import resume_identity
    from usod.systems import ldps
    from usod.training.corrections import Corrections as Taught
    from usod.training.history import write_history

    with ImageStore(inputs["images"]) as image_store:
        identity = resume_identity(origin, "usod.systems.ldps")
        prior, taught = open_maps(inputs["prior"]), Taught.read(inputs.get("corrections"), image_store)
        done = ldps.train(image_store, prior, settings, net_config, process, work, identity, taught)
        if process.rank == 0:
            extra = taught.named_in(origin) | done.notes
            save_model(outputs[0], done.network, done.network.config, extra, input_size=image_store.size)
            write_history(outputs[1], done.history)


@app.command()
def refine(
    model: Annotated[Path, typer.Argument(help="Relation network of `usod ldps train`.")],
    images: Images,
    prior: Prior,
    out: Out,
    merge: Merging = None,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 16,
    device: Device = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Refine maps with a trained relation network.

    Example: usod ldps refine relation.safetensors --images images.h5 --prior rbd.h5 --out refined.h5
    """
    from usod.data.mapstore import ImageStore, open_maps
    from usod.devices import start_device
    from usod.errors import UsageError
    from usod.models.model_file import load_model
    from usod.settings.sections import MergeConfig, parse_section
    from usod.systems.ldps import Refiner

    settings = parse_section(MergeConfig, merge, "--merge")
    network, _ = load_model(model, start_device(device, threads))
    if "prior" not in network.inputs:
        raise UsageError(f"{model}: predicts maps from images alone (usod predict); give a model of usod ldps train")
    given = open_maps(prior)
    with ImageStore(images) as store:
        maps = Refiner(network, settings).refine_all(store, given, batch)
        inputs = {"model": model, "images": images, "prior": prior}
        _write(out, store, given, maps, {"merge": settings.model_dump()}, inputs)


@app.command()
def single(
    images: Images,
    prior: Prior,
    out: Out,
    config: ConfigText = None,
    network: Network = None,
    weights: WeightsFile = None,
    merge: Merging = None,
    device: Device = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Refine maps with a network trained anew on every single image (LDPS, Table 3).

    Example: usod ldps single --images images.h5 --prior rbd.h5 --network network.yaml --out refined.h5
    """
    from usod.data.mapstore import ImageStore, open_maps
    from usod.devices import start_device
    from usod.models.weights import describe_weights
    from usod.settings.sections import MergeConfig, SingleImageConfig, parse_section
    from usod.systems.ldps import refine_singly

    settings = parse_section(SingleImageConfig, config)
    merging = parse_section(MergeConfig, merge, "--merge")
    net_config = read_network(network, weights)
    chosen = start_device(device, threads)
    described = {"single": settings.model_dump(), "merge": merging.model_dump(), "network": net_config.model_dump()}
    given = open_maps(prior)
    with ImageStore(images) as store:
        maps = refine_singly(store, given, settings, merging, net_config, chosen)
        seen = describe_weights(net_config)["labels"]
        _write(out, store, given, maps, described, {"images": images, "prior": prior}, seen)


def _write(
    out: Path,
    images: Any,
    prior: Any,
    maps: Iterator[tuple[str, Any]],
    config: dict[str, Any],
    inputs: dict[str, Path],
    seen: str = "none",
) -> None:
    """Write maps of the prior's sizes; `seen` are the human labels behind a network that no input file holds."""
    from usod.data.mapstore import write_maps
    from usod.human_labels import join
    from usod.provenance import describe

    attributes = describe(config, inputs) | {"created_by": "usod ldps"}
    attributes["labels"] = join(attributes["labels"], seen)
    shape = prior.sizes_of(images.ids)
    if (shape == images.size).all():
        shape = images.size
    with write_maps(out, images.ids, shape, images.original_size, attributes) as rows:
        for key, saliency in maps:
            rows[key] = saliency
