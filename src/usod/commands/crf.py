"""`usod crf`: refine maps with a dense CRF."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from usod.commands.options import ConfigText, Device, Quiet, Threads, Workers

app = typer.Typer(no_args_is_help=True, help="Refine maps with a dense CRF.")


class Backend(StrEnum):
    torch = "torch"
    pydensecrf = "pydensecrf"


@app.command()
def refine(
    maps: Annotated[Path, typer.Argument(help="MapStore of saliency maps.")],
    out: Annotated[Path, typer.Option(help="MapStore of the refined maps.")],
    images: Annotated[Path | None, typer.Option(help="Images at the same working size (usod data images).")] = None,
    index: Annotated[
        Path | None, typer.Option(help="Or index.csv: every map is refined and kept at its image's own size.")
    ] = None,
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
    from usod.crf import CRFParams
    from usod.devices import start_device
    from usod.errors import UsageError
    from usod.provenance import describe
    from usod.settings.sections import CrfConfig, parse_section

    settings = parse_section(CrfConfig, config)
    params = CRFParams(**settings.model_dump())
    if (images is None) == (index is None):
        raise UsageError("give the images: either --images images.h5 or --index index.csv")
    chosen = start_device(device, threads)
    pictures = images or index or Path()
    origin = describe({"crf": settings.model_dump(), "backend": backend.value}, {"maps": maps, "images": pictures})
    attributes = origin | {"created_by": "usod crf refine"}
    if index is not None:
        _refine_whole(maps, index, out, attributes, params, backend.value, chosen)
    else:
        _refine_small(maps, pictures, out, attributes, params, backend.value, chosen, batch)


def _refine_small(
    maps: Path, images: Any, out: Path, attributes: dict[str, Any], params: Any, backend: Any, device: Any, batch: int
) -> None:
    """At the working size, in batches."""
    import numpy as np

    from usod.crf import Refiner
    from usod.data.mapstore import ImageStore, MapStore, write_maps
    from usod.devices import AsMemoryAllows
    from usod.progress import progress

    with MapStore(maps) as store, ImageStore(images) as pixels:
        store.serve_at(pixels.size)
        pixels.require_like(store)
        as_memory_allows, refine_batch = AsMemoryAllows(), Refiner(params, backend, device)
        with write_maps(out, store.ids, store.size, store.original_size, attributes) as rows:
            parts = [store.ids[i : i + batch] for i in range(0, len(store), batch)]
            for ids in progress(parts, len(parts), "CRF", f"batch of {batch}"):
                probabilities, colours = np.stack([store[key] for key in ids]), pixels.read_all(ids)

                def refined(part: slice, colours: Any = colours, probabilities: Any = probabilities) -> Any:
                    return refine_batch(colours[part], probabilities[part])

                for key, saliency in zip(ids, np.concatenate(list(as_memory_allows(refined, len(ids)))), strict=True):
                    rows[key] = saliency


def _refine_whole(
    maps: Path, index: Path, out: Path, attributes: dict[str, Any], params: Any, backend: Any, device: Any
) -> None:
    """At the images' own sizes, image by image."""
    from usod.crf import Refiner
    from usod.data.images import read_image, resize_map
    from usod.data.index import read_index
    from usod.data.mapstore import open_maps, write_maps
    from usod.data.store import require_ids
    from usod.progress import progress

    table, given = read_index(index), open_maps(maps)
    require_ids(given, list(table["id"]))
    sizes = table[["height", "width"]].to_numpy()
    refine_image = Refiner(params, backend, device)
    with write_maps(out, list(table["id"]), sizes, sizes, attributes) as rows:
        for key, file in progress(list(zip(table["id"], table["image"], strict=True)), len(table), "CRF"):
            image = read_image(file)
            rows[key] = refine_image(image, resize_map(given[key], image.shape[:2]))


@app.command()
def superpixel(
    maps: Annotated[Path, typer.Argument(help="MapStore of saliency maps.")],
    images: Annotated[Path, typer.Option(help="Images at the same working size (usod data images).")],
    out: Annotated[Path, typer.Option(help="MapStore of the masks, 0 or 1.")],
    config: ConfigText = None,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Make masks of maps with WSS's iterative CRF: superpixels, and appearance models learnt from their labels.

    Example: usod crf superpixel rbd.h5 --images images.h5 --out masks.h5 --workers 4
    """
    from functools import partial

    from usod.data.mapstore import ImageStore, MapStore, write_maps
    from usod.data.parallel import parallel_map
    from usod.progress import progress
    from usod.provenance import describe
    from usod.settings.sections import SuperpixelConfig, parse_section

    settings = parse_section(SuperpixelConfig, config)
    with MapStore(maps) as store, ImageStore(images) as pixels:
        store.serve_at(pixels.size)
        pixels.require_like(store)
        origin = describe({"superpixel": settings.model_dump()}, {"maps": maps, "images": images})
        attributes = origin | {"created_by": "usod crf superpixel"}
        with write_maps(out, store.ids, store.size, store.original_size, attributes) as rows:
            work = partial(_mask, maps=maps, images=images, settings=settings.model_dump())
            masks = parallel_map(work, store.ids, workers, ["usod.crf.superpixel", "usod.data.mapstore"])
            rows.fill(progress(masks, len(store), "superpixel CRF"))


def _mask(key: str, maps: Path, images: Path, settings: dict[str, Any]) -> Any:
    import numpy as np
    from threadpoolctl import threadpool_limits

    from usod.crf.superpixel import SuperpixelParams, refine_with_superpixels
    from usod.data.mapstore import ImageStore, MapStore

    with MapStore(maps) as store, ImageStore(images) as pixels, threadpool_limits(1):
        store.serve_at(pixels.size)
        return refine_with_superpixels(pixels[key], store[key], SuperpixelParams(**settings)).astype(np.float32)
