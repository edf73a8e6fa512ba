"""`usod spectral`: masks from what a frozen vision transformer sees, without training."""

import json
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usod.commands.options import ConfigText, Quiet, Workers

if TYPE_CHECKING:
    from usod.crf import Refiner

app = typer.Typer(no_args_is_help=True, help="Masks from what a frozen vision transformer sees, without training.")
Images = Annotated[Path, typer.Option(help="Images at working size (usod data images).")]
Out = Annotated[Path, typer.Option("--out", "-o", help="MapStore of the masks, soft at their borders.")]
Compared = Annotated[Path, typer.Option(help="What is compared: features (usod features) of these images.")]


@app.command()
def tokencut(
    images: Images, features: Compared, out: Out, config: ConfigText = None, workers: Workers = 1, quiet: Quiet = False
) -> None:
    """Divide the patches of each image by a normalised cut: TokenCut.

    The features are keys: network {..., "frozen": true, "features": {"what": "keys"}} of usod features.

    Example: usod spectral tokencut --images images.h5 --features keys.h5 --out masks.h5
    """
    _write("tokencut", images, {"features": features}, out, config, workers)


@app.command()
def selfment(
    images: Images, features: Compared, out: Out, config: ConfigText = None, workers: Workers = 1, quiet: Quiet = False
) -> None:
    """Divide the patches by a normalised cut of their tokens, and fit the two parts to their means: Selfment.

    Example: usod spectral selfment --images images.h5 --features tokens.h5 --out masks.h5
    """
    _write("selfment", images, {"features": features}, out, config, workers)


@app.command()
def found(
    images: Images,
    features: Annotated[Path, typer.Option(help="Keys of these images (usod features).")],
    attention: Annotated[Path, typer.Option(help="Attention of the same encoder's class token (usod features).")],
    out: Out,
    config: ConfigText = None,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Leave out all that is like the patch that gets the least attention: FOUND, before its training.

    Example: usod spectral found --images images.h5 --features keys.h5 --attention attention.h5 --out masks.h5
    """
    _write("found", images, {"features": features, "attention": attention}, out, config, workers)


def _write(recipe: str, images: Path, seen: dict[str, Path], out: Path, config: str | None, workers: int) -> None:
    from contextlib import ExitStack

    from usod.data.features import FeatureStore
    from usod.data.mapstore import ImageStore, write_maps
    from usod.data.parallel import parallel_map
    from usod.progress import progress
    from usod.provenance import describe
    from usod.settings.sections import parse_section
    from usod.systems.spectral_settings import RECIPES

    settings = parse_section(RECIPES[recipe], config)
    with ExitStack() as stack:
        store = stack.enter_context(ImageStore(images))
        features = stack.enter_context(FeatureStore(seen["features"]))
        features.require_of({"what": getattr(settings, "features", "keys")})
        features.require_for(store, {})
        if "attention" in seen:
            attention = stack.enter_context(FeatureStore(seen["attention"]))
            attention.require_of(features.encoder | {"what": "attention"})
            attention.require_for(store, {})
        origin = describe({recipe: settings.model_dump()}, {"images": images, **seen})
        attributes = origin | {"created_by": f"usod spectral {recipe}"}
        work = partial(_map, recipe=recipe, images=images, seen=list(seen.values()), settings=settings)
        imports = ["usod.crf", "usod.systems.spectral", "usod.data.features", "usod.data.mapstore"]
        with write_maps(out, store.ids, store.size, store.original_size, attributes) as rows:
            rows.fill(progress(parallel_map(work, store.ids, workers, imports), len(store), recipe))


def _map(key: str, recipe: str, images: Path, seen: list[Path], settings: Any) -> Any:
    """The map of one image, at working size: (H, W) float32 in [0, 1]."""
    from threadpoolctl import threadpool_limits

    from usod.data.images import resize_map
    from usod.systems import spectral

    store, *features = _opened(images, *seen)
    with threadpool_limits(1):
        mask = resize_map(getattr(spectral, recipe)(*(kept[key] for kept in features), settings), store.size)
        return mask if settings.crf is None else _refiner(settings.crf.model_dump_json())(store[key], mask)


@cache
def _refiner(settings: str) -> "Refiner":
    """The CRF of these settings (JSON), one in each process: what all its images share is found once."""
    from usod.crf import CRFParams, Refiner

    return Refiner(CRFParams(**json.loads(settings)))


@cache
def _opened(images: Path, *seen: Path) -> tuple[Any, ...]:
    """The stores, opened once in each process: their tables are as long as the data set."""
    from usod.data.features import FeatureStore
    from usod.data.mapstore import ImageStore

    return ImageStore(images), *(FeatureStore(path) for path in seen)
