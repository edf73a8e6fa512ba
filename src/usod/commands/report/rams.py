"""`usod report rams`: the features of A2S's residual attention modules (Fig. 11)."""

from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import Device, Quiet, Threads
from usod.commands.report import Figure, app


@app.command()
def rams(
    model: Annotated[Path, typer.Argument(help="Model of usod a2s stage2, its head ram.")],
    images: Annotated[Path, typer.Option(help="Images at working size (usod data images).")],
    masks: Annotated[Path, typer.Option(help="masks.csv: the ground truth.")],
    out: Figure,
    count: Annotated[int, typer.Option(min=1, help="Images shown, spread evenly over the set.")] = 3,
    channels: Annotated[int, typer.Option(min=1, max=64, help="Channels shown, those of the largest product.")] = 8,
    device: Device = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> None:
    """Show local features R_l, regional features R_r and their product, each stretched to its own range.

    Example: usod report rams detector.safetensors --images images.h5 --masks masks.csv --out rams.png
    """
    import numpy as np
    import torch

    from usod.data.images import resize_map
    from usod.data.index import load_masks
    from usod.data.mapstore import ImageStore
    from usod.devices import start_device
    from usod.errors import UsageError
    from usod.models.model_file import load_model
    from usod.models.ram import RAMHead
    from usod.reporting.figures import save, stages_figure

    chosen = start_device(device, threads)
    network, _ = load_model(model, chosen)
    if not isinstance(network.head, RAMHead):
        raise UsageError(f"{model}: has the head {network.config.resolved_head.name}; give a model with head: ram")
    with ImageStore(images) as store:
        shown = store.ids[:: max(1, len(store) // count)][:count]
        pixels = store.read_all(shown)
    first: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {str(number + 1): [] for number in range(channels)}
    for image, truth in zip(pixels, load_masks(masks, shown), strict=True):
        with torch.inference_mode():
            inputs = network.as_input(torch.tensor(image[None]).to(chosen))
            local, regional = network.head.features(network.stages(inputs))
            saliency = network.saliency(inputs)[0, 0].float().cpu().numpy()
        rows = [part[0].float() for part in (local, regional, local * regional)]
        strongest = rows[2].abs().mean((1, 2)).topk(channels).indices
        first += [image, *(_grey(resize_map(value, image.shape[:2])) for value in (truth, saliency))]
        for part in rows:
            for column, channel in zip(columns.values(), part[strongest].cpu().numpy(), strict=True):
                low, high = channel.min(), channel.max()
                column.append((channel - low) / max(high - low, 1e-12))
    names = ["local", "regional", "product"] * len(shown)
    save(stages_figure(first, columns, names), out)


def _grey(values):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.repeat(np.rint(255 * values).astype(np.uint8)[..., None], 3, axis=2)
