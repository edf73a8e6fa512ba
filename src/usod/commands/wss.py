"""`usod wss`: learn from image-level tags, then from one's own refined maps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usod.commands.options import (
    ConfigText,
    Corrections,
    Device,
    Network,
    Quiet,
    Threads,
    WeightsFile,
    Work,
    read_network,
    with_corrections,
)

if TYPE_CHECKING:
    from usod.models.fin import TagHead
    from usod.models.saliency_net import SaliencyNet

app = typer.Typer(no_args_is_help=True, help="WSS: salient objects from image-level tags.")
Images = Annotated[Path, typer.Option(help="Images at working size (usod data images).")]
OutModel = Annotated[Path, typer.Option(help="The network, safetensors.")]
History = Annotated[Path, typer.Option(help="CSV, one row per epoch.")]


@app.command()
def pretrain(
    images: Images,
    tags: Annotated[Path, typer.Option(help="Table of tags (usod data tags).")],
    out_model: OutModel,
    history: History,
    config: ConfigText = None,
    network: Network = None,
    weights: WeightsFile = None,
    device: Device = "auto",
    threads: Threads = 0,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Learn a foreground map from image-level tags.

    Example: usod wss pretrain --images images.h5 --tags tags.csv --network '{"name": "vgg16", "weights": "DEFAULT"}'
    --out-model tags.safetensors --history tags.csv
    """
    from usod.data.mapstore import ImageStore
    from usod.data.tags import tag_matrix
    from usod.devices import start_device
    from usod.models.model_file import save_model
    from usod.provenance import describe, resume_identity
    from usod.settings.sections import PretrainConfig, parse_section
    from usod.systems import wss
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.history import write_history

    settings = parse_section(PretrainConfig, config)
    net_config = read_network(network, weights)
    chosen = start_device(device, threads)
    folder = resume_folder(work, out_model)
    described = {"pretrain": settings.model_dump(), "network": net_config.model_dump(mode="json")}
    origin = describe(described, {"images": images, "tags": tags})
    with ImageStore(images) as store:
        names, matrix = tag_matrix(tags, store.ids)
        identity = resume_identity(origin, "usod.systems.wss")
        done = wss.pretrain(store, matrix, settings, net_config, chosen, work=folder, identity=identity)
        extra = origin | {"tags": names}
        save_model(out_model, done.network, done.network.config, extra, input_size=store.size)
    write_history(history, done.history)
    discard(folder)


@app.command()
def selftrain(
    images: Images,
    labels: Annotated[Path, typer.Option(help="Maps of the model before, refined (usod crf superpixel).")],
    model_before: Annotated[Path, typer.Option(help="Model of the pretraining, or of the round before.")],
    out_model: OutModel,
    history: History,
    config: ConfigText = None,
    device: Device = "auto",
    threads: Threads = 0,
    corrections: Corrections = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Fine-tune the foreground network, at a finer resolution, on its own refined maps.

    Example: usod wss selftrain --images images.h5 --labels labels.h5 --model-before tags.safetensors
    --out-model round1.safetensors --history round1.csv
    """
    from usod.data.mapstore import ImageStore, MapStore
    from usod.devices import start_device
    from usod.models.model_file import load_model, save_model
    from usod.provenance import describe, resume_identity
    from usod.settings.sections import SelfTrainConfig, parse_section
    from usod.systems import wss
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.corrections import Corrections as Taught
    from usod.training.history import write_history

    settings = parse_section(SelfTrainConfig, config)
    chosen = start_device(device, threads)
    folder = resume_folder(work, out_model)
    before, _ = load_model(model_before)
    inputs = with_corrections({"images": images, "labels": labels, "model_before": model_before}, corrections)
    origin = describe({"selftrain": settings.model_dump()}, inputs)
    with ImageStore(images) as store, MapStore(labels) as label_store:
        identity = resume_identity(origin, "usod.systems.wss")
        taught = Taught.read(corrections, store)
        done = wss.selftrain(store, label_store, settings, before, chosen, folder, identity, taught)
        save_model(out_model, done.network, done.network.config, taught.named_in(origin), input_size=store.size)
    write_history(history, done.history)
    discard(folder)


@app.command()
def average(
    model: Annotated[Path, typer.Argument(help="Model of `usod wss pretrain`.")],
    out_model: OutModel,
    quiet: Quiet = False,
) -> None:
    """Copy the network so that its map is the mean of its score maps (WSS1-AVE of Fig. 6); nothing is learnt again.

    Example: usod wss average tags.safetensors --out-model average.safetensors
    """
    from usod.models.model_file import save_model
    from usod.models.registry import TagsOptions
    from usod.provenance import describe

    network, _, header = _of_the_tags(model)
    head = network.config.head_as(TagsOptions).model_copy(update={"foreground": "average"})
    extra = describe({"foreground": "average"}, {"model": model}) | {"tags": header["extra"].get("tags", [])}
    save_model(out_model, network, network.config.with_head(head), extra, input_size=header["input_size"])


def _of_the_tags(model: Path) -> "tuple[SaliencyNet, TagHead, dict[str, Any]]":
    """A network of the pretraining, its head, and what its file says of it."""
    from usod.errors import UsageError
    from usod.models.fin import TagHead
    from usod.models.model_file import load_model

    network, header = load_model(model)
    if not isinstance(network.head, TagHead):
        raise UsageError(
            f"{model}: has the head {network.config.resolved_head.name}; give a model of usod wss pretrain"
        )
    return network, network.head, header


@app.command()
def look(
    model: Annotated[Path, typer.Argument(help="Model of `usod wss pretrain`.")],
    images: Images,
    out: Annotated[Path, typer.Option(help="Figure to write: .svg, .pdf or .png.")],
    count: Annotated[int, typer.Option(min=1, help="Images shown, spread evenly over the set.")] = 12,
    quiet: Quiet = False,
) -> None:
    """Show the mean score map S, its product with the foreground map F, and F.

    Example: usod wss look tags.safetensors --images images.h5 --out tags.png
    """
    import numpy as np
    import torch

    from usod.data.mapstore import ImageStore
    from usod.reporting.figures import save, stages_figure

    network, head, _ = _of_the_tags(model)
    with ImageStore(images) as store:
        pixels = np.stack([store[key] for key in store.ids[:: max(1, len(store) // count)][:count]])
    with torch.inference_mode():
        seen = head.look(network.backbone.stages(network.as_input(torch.from_numpy(pixels))))
    columns = {
        name: [m / max(float(m.max()), 1e-6) if name != "F" else m for m in maps.numpy()] for name, maps in seen.items()
    }
    save(stages_figure(list(pixels), columns), out)
