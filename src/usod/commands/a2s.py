"""`usod a2s`: pseudo-labels from the activations of a pretrained network, and the detector that rectifies them."""

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
    import torch

    from usod.models.config import NetworkConfig
    from usod.models.saliency_net import SaliencyNet
    from usod.systems.a2s_settings import RectifyConfig
    from usod.training.parallel import Process

app = typer.Typer(no_args_is_help=True, help="A2S: from activations to saliency, without handcrafted maps.")
Images = Annotated[Path, typer.Option(help="Images at working size (usod data images).")]
OutLabels = Annotated[Path, typer.Option(help="Pseudo-labels, MapStore.")]
OutModel = Annotated[Path, typer.Option(help="The stage's network, safetensors.")]
OutWatched = Annotated[
    Path | None,
    typer.Option(help="MapStore of the watched images' maps, ids EPOCH/ID; epoch 000 is before training."),
]
History = Annotated[Path, typer.Option(help="CSV, one row per epoch.")]


@app.command()
def stage1(
    images: Images,
    out_model: OutModel,
    history: History,
    config: ConfigText = None,
    network: Network = None,
    weights: WeightsFile = None,
    device: Device = "auto",
    threads: Threads = 0,
    work: Work = None,
    out_watched: OutWatched = None,
    quiet: Quiet = False,
) -> None:
    """Learn activation maps without any label; `usod a2s labels` makes pseudo-labels of them.

    Example: usod a2s stage1 --images images.h5 --network '{"name": "resnet50", "weights": "moco_v2_800ep.pth.tar"}'
    --out-model stage1.safetensors --history stage1.csv
    """
    from usod.data.mapstore import ImageStore
    from usod.devices import start_device
    from usod.models.model_file import inherited, save_model
    from usod.provenance import describe, resume_identity
    from usod.settings.sections import parse_section
    from usod.systems import a2s
    from usod.systems.a2s_settings import ActivationConfig
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.history import write_history

    settings = parse_section(ActivationConfig, config)
    net_config = read_network(network, weights)
    chosen = start_device(device, threads)
    folder = resume_folder(work, out_model)
    origin = describe(
        {"stage1": settings.model_dump(), "network": net_config.model_dump(mode="json")}, {"images": images}
    )
    with ImageStore(images) as image_store:
        identity = resume_identity(origin, "usod.systems.a2s")
        done = a2s.stage1(image_store, settings, net_config, chosen, work=folder, identity=identity)
        attributes = inherited(origin, done.network) | {"created_by": "usod a2s stage1"}
        if out_watched is not None:
            _write_watched(out_watched, image_store, done, attributes)
        save_model(out_model, done.network, done.network.config, origin, input_size=image_store.size)
    write_history(history, done.history)
    discard(folder)


@app.command()
def labels(
    model: Annotated[Path, typer.Argument(help="The network of stage 1 (usod a2s stage1).")],
    index: Annotated[Path, typer.Option(help="Index of the images (usod data index).")],
    out: Annotated[Path, typer.Option(help="Pseudo-labels at the images' own sizes, MapStore.")],
    config: ConfigText = None,
    device: Device = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Make pseudo-labels of any images: their activation, a CRF and a median filter at the images' own sizes (Eq. 6).

    Example: usod a2s labels stage1.safetensors --index index.csv --out labels.h5
    """
    import numpy as np

    from usod.data.images import read_image
    from usod.data.index import read_index
    from usod.data.mapstore import write_maps
    from usod.devices import start_device
    from usod.progress import progress
    from usod.provenance import describe
    from usod.settings.sections import parse_section
    from usod.systems.a2s_labels import pseudo_labels, refined_size
    from usod.systems.a2s_settings import PseudoLabelConfig

    settings = parse_section(PseudoLabelConfig, config)
    network, size = _load_stage1(model, start_device(device, threads))
    table = read_index(index)
    attributes = describe({"pseudo_labels": settings.model_dump()}, {"model": model, "index": index})
    attributes |= {"created_by": "usod a2s labels"}
    made = pseudo_labels(network, map(read_image, table["image"]), size, settings)
    own = table[["height", "width"]].to_numpy()
    sizes = np.array([refined_size(each, size, settings) for each in own.tolist()]).reshape(-1, 2)
    with write_maps(out, list(table["id"]), sizes, own, attributes) as rows:
        rows.fill(label * np.uint8(255) for label in progress(made, len(table), "pseudo-labels"))


@app.command()
def variance(
    images: Images,
    out: Annotated[Path, typer.Option(help="CSV: threshold, published, before, and with --model after training.")],
    network: Network = None,
    weights: WeightsFile = None,
    model: Annotated[Path | None, typer.Option(help="The trained network of stage 1, to compare with.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the blocks before training.")] = 0,
    device: Device = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Compare Otsu's threshold, the mean and the median on the activation maps (A2S, Table I).

    Example: usod a2s variance --images images.h5 --network network.yaml --model stage1.safetensors --out variance.csv
    """
    import pandas as pd
    import torch

    from usod.data.mapstore import ImageStore
    from usod.devices import start_device
    from usod.files import atomic_path
    from usod.reporting.published import published
    from usod.systems.a2s import activation_network
    from usod.systems.a2s_labels import activation_variance
    from usod.systems.a2s_settings import ActivationConfig

    settings = read_network(network, weights)
    chosen = start_device(device, threads)
    with ImageStore(images) as store:
        pixels = store.read_all()
    torch.manual_seed(seed)
    stage = ActivationConfig(loss="csd" if settings.head.name == "gated" else "adb")
    paper = published(table="a2s_table1").set_index("method")["value"].to_dict()
    columns = {
        "published": paper,
        "before": activation_variance(activation_network(settings, stage).to(chosen), pixels),
    }
    if model is not None:
        columns["after"] = activation_variance(_load_stage1(model, chosen)[0], pixels)
    with atomic_path(out) as temporary:
        pd.DataFrame(columns).rename_axis("threshold").to_csv(temporary, float_format="%.6f")


@app.command()
def stage2(
    images: Images,
    labels: Annotated[Path, typer.Option(help="Pseudo-labels: those of stage 1, or of any other system.")],
    out_labels: OutLabels,
    out_model: OutModel,
    history: History,
    config: ConfigText = None,
    network: Network = None,
    weights: WeightsFile = None,
    device: Device = "auto",
    devices: Devices = 1,
    threads: Threads = 0,
    features: Features = None,
    corrections: Corrections = None,
    work: Work = None,
    out_watched: OutWatched = None,
    quiet: Quiet = False,
) -> None:
    """Train the detector on pseudo-labels and rectify them with its predictions.

    Example: usod a2s stage2 --images images.h5 --labels labels.h5 --out-labels rectified.h5
    --out-model detector.safetensors --history stage2.csv
    """
    from usod.devices import start_device
    from usod.models.registry import RamOptions
    from usod.provenance import describe
    from usod.settings.sections import parse_section
    from usod.systems.a2s_settings import RectifyConfig
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.parallel import processes, run

    settings = parse_section(RectifyConfig, config)
    net_config = read_network(network, weights)
    if net_config.head.name == "auto":
        net_config = net_config.with_head(RamOptions())
    chosen = start_device(device, threads)
    folder = resume_folder(work, out_model)
    origin = describe(
        {"stage2": settings.model_dump(), "network": net_config.model_dump(mode="json")},
        with_corrections({"images": images, "labels": labels}, corrections),
    )
    inputs, outputs = (images, labels, features, corrections), (out_labels, out_model, history, out_watched)
    run(processes(device, devices), chosen, _stage2, inputs, settings, net_config, origin, outputs, folder)
    discard(folder)


def _stage2(
    process: "Process",
    inputs: tuple[Path, Path, Path | None, Path | None],
    settings: "RectifyConfig",
    net_config: "NetworkConfig",
    origin: dict[str, Any],
    outputs: tuple[Path, Path, Path, Path | None],
    work: Path | None,
) -> None:
    """One process of the training; the first one writes the results."""
    from contextlib import ExitStack

    from usod.data.features import open_features
    from usod.data.mapstore import ImageStore, MapStore
    from usod.models.model_file import inherited, save_model
    from usod.provenance import resume_identity
    from usod.systems import a2s
    from usod.training.corrections import Corrections as Taught
    from usod.training.history import write_history

    (images, labels, features, corrections), (out_labels, out_model, history, out_watched) = inputs, outputs
    with ExitStack() as stack:
        image_store, label_store = stack.enter_context(ImageStore(images)), stack.enter_context(MapStore(labels))
        kept = stack.enter_context(open_features(features))
        identity = resume_identity(origin, "usod.systems.a2s")
        taught = Taught.read(corrections, image_store)
        done = a2s.stage2(image_store, label_store, settings, net_config, process, kept, work, identity, taught)
        if process.rank == 0:
            attributes = inherited(origin, done.network) | {"created_by": "usod a2s stage2"}
            _write_labels(out_labels, image_store, done.labels, attributes)
            if out_watched is not None:
                _write_watched(out_watched, image_store, done, attributes)
            save_model(out_model, done.network, net_config, taught.named_in(origin), input_size=image_store.size)
            write_history(history, done.history)


def _load_stage1(path: Path, device: "torch.device") -> "tuple[SaliencyNet, tuple[int, int]]":
    """The network of stage 1 and its working size."""
    from usod.errors import UsageError
    from usod.models.model_file import load_model

    network, metadata = load_model(path, device)
    if network.config.head.name not in ("activation", "gated"):
        raise UsageError(f"{path}: has the head {network.config.resolved_head.name}; give a model of usod a2s stage1")
    return network, tuple(metadata["input_size"])


def _write_watched(path: Path, images: Any, done: Any, attributes: dict[str, Any]) -> None:
    import numpy as np

    from usod.data.mapstore import write_maps

    watched, every = done.notes["watched"], done.notes["looks"]
    ids = [f"{epoch:03d}/{images.ids[row]}" for epoch in range(len(every)) for row in watched]
    sizes = np.tile(images.original_size[watched], (len(every), 1))
    shape = every[0].shape[1:] if ids else images.size
    with write_maps(path, ids, shape, sizes, attributes) as rows:
        rows.fill(look for looks in every for look in looks)


def _write_labels(path: Path, images: Any, labels: Any, attributes: dict[str, Any]) -> None:
    from usod.data.mapstore import write_maps

    with write_maps(path, images.ids, images.size, images.original_size, attributes) as rows:
        rows.fill(labels)
