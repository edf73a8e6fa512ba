"""`usod report thresholds`: what three thresholds cut out of activation maps (A2S, Fig. 5)."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Device, Network, Quiet, Threads, WeightsFile, read_network
from usod.commands.report import Figure, app


@app.command()
def thresholds(
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    out: Figure,
    network: Network = None,
    weights: WeightsFile = None,
    masks: Annotated[Path | None, typer.Option(help="masks.csv: adds the ground truth.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Images shown, spread evenly over the set.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of the new blocks.")] = 0,
    device: Device = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Show what Otsu's threshold, the mean and the median cut out of activation maps before any training.

    Example: usod report thresholds --images images.h5 --network network.yaml --out thresholds.png
    """
    import numpy as np
    import torch

    from usod.data.index import load_masks
    from usod.data.mapstore import ImageStore
    from usod.devices import start_device
    from usod.reporting.figures import save, stages_figure
    from usod.systems.a2s import activation_network
    from usod.systems.a2s_labels import decisions, thresholds
    from usod.systems.a2s_settings import ActivationConfig

    settings, chosen = read_network(network, weights), start_device(device, threads)
    with ImageStore(images) as store:
        shown = store.ids[:: max(1, len(store) // count)][:count]
        pixels = store.read_all(shown)
    torch.manual_seed(seed)
    stage = ActivationConfig(loss="csd" if settings.head.name == "gated" else "adb")
    decision = torch.cat(list(decisions(activation_network(settings, stage).to(chosen).eval(), pixels)))
    maps, found = thresholds(decision)
    columns = {
        name: list((maps >= threshold[:, None]).view(decision.shape).cpu().numpy()) for name, threshold in found.items()
    }
    if masks is not None:
        columns["mask"] = load_masks(masks, shown)
    save(stages_figure(list(np.asarray(pixels)), columns), out)
