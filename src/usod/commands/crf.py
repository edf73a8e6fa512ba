"""`usod crf`: refine maps with a dense CRF."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from usod.commands.options import ConfigText, Device, Quiet, Threads

app = typer.Typer(no_args_is_help=True, help="Refine maps with a dense CRF.")


class Backend(StrEnum):
    torch = "torch"
    pydensecrf = "pydensecrf"


@app.callback()
def _group() -> None:
    """Keeps `refine` a verb of its own while it is the only one."""


@app.command()
def refine(
    maps: Annotated[Path, typer.Argument(help="MapStore of saliency maps.")],
    images: Annotated[Path, typer.Option(help="Images at the same working size (usod data images).")],
    out: Annotated[Path, typer.Option(help="MapStore of the refined maps.")],
    config: ConfigText = None,
    backend: Annotated[Backend, typer.Option(help="torch, or pydensecrf where it is installed.")] = Backend.torch,
    device: Device = "auto",
    threads: Threads = 0,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 16,
    quiet: Quiet = False,
) -> None:
    """Refine maps along the edges of their images.

    Example: usod crf refine rbd.h5 --images images.h5 --out rbd-crf.h5
    """
    import numpy as np

    from usod.crf import CRFParams
    from usod.crf import refine as refine_batch
    from usod.data.mapstore import ImageStore, MapStore, write_maps
    from usod.devices import start_device
    from usod.errors import UsodError
    from usod.progress import progress
    from usod.provenance import describe
    from usod.sections import CrfConfig, parse_section

    settings = parse_section(CrfConfig, config)
    chosen = start_device(device, threads)
    with MapStore(maps) as store, ImageStore(images) as pixels:
        pixels.require(store.ids)
        if store.size != pixels.size:
            raise UsodError(f"{maps}: maps of {store.size}, but {images} has images of {pixels.size}")
        origin = describe({"crf": settings.model_dump(), "backend": backend.value}, {"maps": maps, "images": images})
        attributes = origin | {"created_by": "usod crf refine"}
        with write_maps(out, store.ids, store.size, store.original_size, attributes) as rows:
            parts = [store.ids[i : i + batch] for i in range(0, len(store), batch)]
            for ids in progress(parts, len(parts), "CRF", f"batch of {batch}"):
                probabilities = np.stack([store[key] for key in ids])
                refined = refine_batch(
                    pixels.read_all(ids), probabilities, CRFParams(**settings.model_dump()), backend.value, chosen
                )
                for key, saliency in zip(ids, refined, strict=True):
                    rows[key] = saliency
