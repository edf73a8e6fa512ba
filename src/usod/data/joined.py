"""Several data sets as one: tables and stores of theirs put together, an image `x` of the set `a` being `a/x`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from usod.data.features import FeatureStore, write_features
from usod.data.index import RIGHTS, read_index, read_masks, write_index
from usod.data.mapstore import ImageStore, MapStore, write_images, write_maps
from usod.data.rights import UNKNOWN
from usod.data.store import Store, StoreWriter
from usod.errors import UsodError
from usod.provenance import describe, file_digest

_KINDS: tuple[type[Store], ...] = (MapStore, ImageStore, FeatureStore)


def join(parts: Mapping[str, Path], out: Path, images: Path | None = None) -> int:
    """Put files of one kind together: index.csv, masks.csv or tags.csv, or stores of maps, images or features.

    Parameters
    ----------
    parts : data set -> its file
    out : file to write
    images : of features: the joined images that they are of

    Returns
    -------
    number of images

    Raises
    ------
    UsodError
        If a file cannot be read, or the stores are of other kinds, sizes or settings.
    """
    return _join_tables(parts, out) if out.suffix == ".csv" else _join_stores(parts, out, images)


def _join_tables(parts: Mapping[str, Path], out: Path) -> int:
    tables, relative = [], False
    for name, path in parts.items():
        try:
            raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsodError(f"{path}: cannot be read as a CSV table ({' '.join(str(error).split())})") from error
        read = next((r for column, r in (("image", read_index), ("mask", read_masks)) if column in raw), None)
        if read is not None:
            relative |= not raw.iloc[:, 1].map(lambda file: Path(file).is_absolute()).all()
        table = raw if read is None else read(path)
        table["id"] = [f"{name}/{key}" for key in table["id"]]
        tables.append(table)
    joined = pd.concat(tables, ignore_index=True)
    if RIGHTS in joined:
        joined[RIGHTS] = joined[RIGHTS].fillna(UNKNOWN)
    joined = joined.fillna("")
    joined.attrs = {"relative": relative}
    write_index(joined, out)
    return len(joined)


def _join_stores(parts: Mapping[str, Path], out: Path, images: Path | None) -> int:
    kind = _kind(next(iter(parts.values())))
    with ExitStack() as stack:
        stores = {name: stack.enter_context(kind(path)) for name, path in parts.items()}
        first = next(iter(stores.values()))
        for store in stores.values():
            if store.attributes["config"] != first.attributes["config"]:
                raise UsodError(f"{store.path}: made with other settings than {first.path}; make both anew")
            if kind is not MapStore and store.shape != first.shape:
                raise UsodError(f"{store.path}: its rows are {store.shape}, those of {first.path} {first.shape}")
        ids = [f"{name}/{key}" for name, store in stores.items() for key in store.ids]
        sizes = np.concatenate([store.original_size for store in stores.values()])
        attributes = describe(first.attributes["config"], {f"part {name}": path for name, path in parts.items()})
        attributes["created_by"] = first.attributes["created_by"]
        if images is not None:
            attributes["inputs"]["images"] = file_digest(images)
        with _writes(list(stores.values()))(out, ids, sizes, attributes) as rows:
            for name, store in stores.items():
                for key in store.ids:
                    rows.take(f"{name}/{key}", store, key)
    return len(ids)


Writes = Callable[[Path, list[str], np.ndarray, dict[str, Any]], AbstractContextManager[StoreWriter]]


def _writes(stores: Sequence[Store]) -> Writes:
    """What writes a store of the kind and size of these."""
    first = stores[0]
    if isinstance(first, FeatureStore):
        height, width, channels = first.shape
        dtype = str(first.dtype)
        return lambda out, ids, sizes, told: write_features(out, ids, (height, width, channels), sizes, told, dtype)
    if isinstance(first, ImageStore):
        return lambda out, ids, sizes, told: write_images(out, ids, first.size, sizes, told)
    maps = [store for store in stores if isinstance(store, MapStore)]
    own = np.concatenate([store.sizes_of(store.ids) for store in maps])
    alike = all(store.sizes is None for store in maps) and len(set(map(tuple, own))) == 1
    return lambda out, ids, sizes, told: write_maps(out, ids, maps[0].size if alike else own, sizes, told)


def _kind(path: Path) -> type[Store]:
    """What a file is a store of."""
    try:
        with h5py.File(path, "r") as file:
            return next(kind for kind in _KINDS if kind.dataset in file)
    except (OSError, StopIteration):
        raise UsodError(f"{path}: no maps, images or features of usod; make it again") from None
