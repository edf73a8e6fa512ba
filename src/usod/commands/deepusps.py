"""`usod deepusps`: refine the labels of one method, fuse those of several."""

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
    named_paths,
    read_network,
    with_corrections,
)

if TYPE_CHECKING:
    from usod.models.config import NetworkConfig
    from usod.systems.deepusps_settings import Binarisation, FuseConfig
    from usod.training.parallel import Process

app = typer.Typer(no_args_is_help=True, help="DeepUSPS: refine handcrafted maps with networks, fuse the results.")
Images = Annotated[Path, typer.Option(help="Images at working size (usod data images).")]
NetworkSeed = Annotated[int, typer.Option("--seed", min=0, help="Of the new layers and of the order of the images.")]


@app.command()
def refine(
    images: Images,
    maps: Annotated[Path, typer.Option(help="MapStore: handcrafted maps (stage 0) or the labels of the stage before.")],
    out_labels: Annotated[Path, typer.Option(help="Refined labels: the moving average of the predictions.")],
    out_model: Annotated[Path, typer.Option(help="The stage's network, safetensors.")],
    history: Annotated[Path, typer.Option(help="CSV, one row per epoch.")],
    stage: Annotated[int, typer.Option(min=0, help="0: inter-image consistency; 1, 2, ...: self-supervision.")] = 0,
    seed: NetworkSeed = 0,
    model_before: Annotated[
        Path | None, typer.Option(help="Network of the stage before: handed on where `stable` says the labels are.")
    ] = None,
    config: ConfigText = None,
    network: Network = None,
    weights: WeightsFile = None,
    device: Device = "auto",
    threads: Threads = 0,
    features: Features = None,
    crf_memory_gb: Annotated[
        float | None, typer.Option(min=0, help="For CRF lattices kept between epochs; none: part of what is free.")
    ] = None,
    corrections: Corrections = None,
    work: Work = None,
    quiet: Quiet = False,
) -> None:
    """Refine the labels of one method by one stage.

    Example: usod deepusps refine --images images.h5 --maps rbd.h5 --stage 0 --out-labels iter0.h5
    --out-model iter0.safetensors --history iter0.csv
    """
    from contextlib import ExitStack

    from usod.data.features import open_features
    from usod.data.mapstore import ImageStore, MapStore, write_maps
    from usod.devices import start_device
    from usod.models.model_file import inherited, save_model
    from usod.provenance import describe, resume_identity
    from usod.settings.sections import parse_section
    from usod.systems import deepusps
    from usod.systems.deepusps_settings import RefineConfig
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.corrections import Corrections as Taught
    from usod.training.history import write_history

    settings = parse_section(RefineConfig, config).of_stage(stage)
    net_config = read_network(network, weights)
    chosen = start_device(device, threads)
    folder = resume_folder(work, out_model)
    described = {
        "stage": stage,
        "seed": seed,
        "refine": settings.model_dump(),
        "network": net_config.model_dump(mode="json"),
    }
    origin = describe(described, with_corrections({"images": images, "maps": maps}, corrections))
    with ExitStack() as stack:
        image_store, map_store = stack.enter_context(ImageStore(images)), stack.enter_context(MapStore(maps))
        if deepusps.is_stable(map_store.attributes, stage, settings):
            _hand_on(map_store, model_before, out_labels, out_model, history)
            discard(folder)
            return
        taught = Taught.read(corrections, image_store)
        done = deepusps.refine(
            image_store,
            map_store,
            stage,
            settings,
            net_config,
            chosen,
            seed,
            features=stack.enter_context(open_features(features)),
            crf_memory_gb=crf_memory_gb,
            work=folder,
            identity=resume_identity(origin, "usod.systems.deepusps"),
            corrections=taught,
        )
        attributes = inherited(origin, done.network) | {
            "created_by": f"usod deepusps refine, stage {stage}",
            **done.notes,
        }
        with write_maps(out_labels, image_store.ids, image_store.size, image_store.original_size, attributes) as rows:
            rows.fill(done.labels)
        save_model(out_model, done.network, net_config, taught.named_in(origin), input_size=image_store.size)
        write_history(history, done.history)
    discard(folder)


@app.command()
def fuse(
    images: Images,
    out: Annotated[Path, typer.Option(help="The fused network, safetensors.")],
    history: Annotated[Path, typer.Option(help="CSV, one row per epoch.")],
    labels: Annotated[list[str] | None, typer.Option(help="METHOD=labels.h5, once per method.")] = None,
    maps: Annotated[
        list[str] | None, typer.Option(help="METHOD=maps.h5: handcrafted maps that no stage has refined.")
    ] = None,
    binarise: Annotated[
        str | None,
        typer.Option(help="Of --maps, JSON or a file: METHOD -> threshold, or threshold_factor and threshold_scope."),
    ] = None,
    seed: NetworkSeed = 0,
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
    """Train one network on the refined labels of all methods.

    Example: usod deepusps fuse --images images.h5 --labels rbd=rbd.h5 --labels mc=mc.h5 --out model.safetensors
    --history history.csv
    """
    from usod.devices import start_device
    from usod.errors import UsageError
    from usod.provenance import describe
    from usod.settings.sections import parse_section
    from usod.systems.deepusps_settings import Binarisation, Binarisations, FuseConfig
    from usod.training.checkpoint import discard, resume_folder
    from usod.training.parallel import processes, run

    settings = parse_section(FuseConfig, config)
    how = parse_section(Binarisations, binarise, "--binarise").root
    net_config = read_network(network, weights)
    raw = named_paths(maps or [], "--maps")
    if unknown := how.keys() - raw.keys():
        raise UsageError(f"--binarise: no --maps of the name {min(unknown)!r}")
    unrefined = {name: how.get(name, Binarisation()) for name in raw}
    paths = named_paths(labels or [], "--labels") | raw
    if not paths:
        raise UsageError("--labels: nothing to learn; give METHOD=labels.h5 or --maps METHOD=maps.h5")
    chosen = start_device(device, threads)
    folder = resume_folder(work, out)
    origin = describe(
        {
            "seed": seed,
            "fuse": settings.model_dump(),
            "network": net_config.model_dump(mode="json"),
            "unrefined": {name: each.model_dump() for name, each in unrefined.items()},
        },
        with_corrections({"images": images, **paths}, corrections),
    )
    run(
        processes(device, devices),
        chosen,
        _fuse,
        images,
        paths,
        seed,
        settings,
        unrefined,
        net_config,
        origin,
        out,
        history,
        features,
        corrections,
        folder,
    )
    discard(folder)


def _fuse(
    process: "Process",
    images: Path,
    paths: dict[str, Path],
    seed: int,
    settings: "FuseConfig",
    unrefined: "dict[str, Binarisation]",
    net_config: "NetworkConfig",
    origin: dict[str, Any],
    out: Path,
    history: Path,
    features: Path | None,
    corrections: Path | None,
    work: Path | None,
) -> None:
    """One process of the training; the first one writes the results."""
    from contextlib import ExitStack

    from usod.data.features import open_features
    from usod.data.mapstore import ImageStore, MapStore
    from usod.models.model_file import save_model
    from usod.provenance import resume_identity
    from usod.systems import deepusps
    from usod.training.corrections import Corrections as Taught
    from usod.training.fit import working_size
    from usod.training.history import write_history

    with ExitStack() as stack:
        image_store = stack.enter_context(ImageStore(images))
        sources = {name: stack.enter_context(MapStore(path)) for name, path in paths.items()}
        identity = resume_identity(origin, "usod.systems.deepusps")
        taught = Taught.read(corrections, image_store)
        done = deepusps.fuse(
            image_store,
            sources,
            seed,
            settings,
            net_config,
            process,
            features=stack.enter_context(open_features(features)),
            work=work,
            identity=identity,
            unrefined=unrefined,
            corrections=taught,
        )
        if process.rank == 0:
            size = working_size(image_store.size, net_config, settings.size)
            save_model(out, done.network, net_config, taught.named_in(origin), input_size=size)
            write_history(history, done.history)


@app.command()
def oracle(
    images: Images,
    masks: Annotated[Path, typer.Option(help="masks.csv (usod data masks): the ground truth of the same images.")],
    out: Annotated[Path, typer.Option(help="MapStore of labels that a network can learn.")],
    labels: Annotated[
        list[str] | None, typer.Option(help="METHOD=labels.h5: each pixel's best of these, not the masks themselves.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make labels with the ground truth, for the oracles of the paper's Tables 2 and 3: no unsupervised result.

    Example: usod deepusps oracle --images images.h5 --masks masks.csv --labels rbd=rbd.h5 --labels mc=mc.h5
    --out oracle.h5
    """
    from contextlib import ExitStack

    from usod.data.images import resize_map
    from usod.data.index import load_mask, read_masks
    from usod.data.mapstore import ImageStore, MapStore, write_maps
    from usod.errors import UsodError
    from usod.progress import progress
    from usod.provenance import describe
    from usod.systems.deepusps import best_pixels

    paths = named_paths(labels or [], "--labels")
    table = read_masks(masks)
    of_id = dict(zip(table["id"], zip(table["mask"], table["threshold"], strict=True), strict=True))
    attributes = describe({}, {"images": images, "masks": masks, **paths}) | {"created_by": "usod deepusps oracle"}
    with ExitStack() as stack:
        store = stack.enter_context(ImageStore(images))
        sources = [stack.enter_context(MapStore(path)) for path in paths.values()]
        for source in sources:
            source.fit_to(store)
        if unknown := [key for key in store.ids if key not in of_id]:
            raise UsodError(f"{masks}: {len(unknown)} of {len(store)} images have no mask: {', '.join(unknown[:5])}")
        rows = stack.enter_context(write_maps(out, store.ids, store.size, store.original_size, attributes))
        for key in progress(store.ids, len(store), "oracle"):
            truth = resize_map(load_mask(*of_id[key]), store.size) > 0.5
            rows[key] = best_pixels([source[key] for source in sources], truth) if sources else truth


def _hand_on(map_store: Any, model: Path | None, out_labels: Path, out_model: Path, history: Path) -> None:
    """The labels have settled: this stage's results are those of the stage before."""
    import shutil

    from usod.errors import UsageError
    from usod.files import atomic_path
    from usod.progress import say
    from usod.training.history import write_history

    maps = map_store.path
    if model is None:
        raise UsageError(f"{maps}: its labels are stable, give the network of their stage with --model-before")
    say(f"{maps}: moved by {map_store.attributes['movement']:.4f} in its stage: stable, handed on unchanged")
    for source, target in ((maps, out_labels), (model, out_model)):
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    write_history(history, [])
