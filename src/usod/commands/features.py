"""`usod features`: what a frozen encoder sees in images, computed once for all that is trained on it."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Device, Network, Quiet, Threads, WeightsFile, read_network


def features(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    out: Annotated[Path, typer.Option(help="FeatureStore (.h5): one grid of vectors per image.")],
    network: Network = None,
    weights: WeightsFile = None,
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 8,
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Compute the features of a frozen encoder, for `--features` of the trainings and of `usod predict`.

    Example: usod features --images images.h5 --network network.yaml --out features.h5
    """
    from usod.data.mapstore import ImageStore
    from usod.devices import describe_device, start_device
    from usod.inference.features import write_features_of
    from usod.models.build import build_network
    from usod.models.model_file import inherited
    from usod.progress import say
    from usod.provenance import describe

    config = read_network(network, weights)
    chosen = start_device(device, threads)
    net = build_network(config.encoder).to(chosen).eval()
    described = describe({"network": config.encoder.model_dump(mode="json")}, {"images": images})
    attributes = inherited(described, net) | {"created_by": "usod features"}
    say(f"{config.name}, on {describe_device(chosen)}")
    with ImageStore(images) as store:
        write_features_of(store, net, out, attributes, batch)
