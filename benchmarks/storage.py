"""Writing and reading a MapStore against bare h5py arrays of the same shape and type, without compression.

    python benchmarks/storage.py [--maps N] [--size SIDE]

Ratios are the MapStore's time over h5py's. A MapStore is written row by row and kept whole or not at all (flushed to
disk before it gets its name), with a digest per row that is checked on reading: that is what the ratio buys.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from timing import best_of, judge

from usod.data.images import resize_map
from usod.data.mapstore import MapStore, write_maps
from usod.data.scenes import draw_scene
from usod.data.store import to_uint8
from usod.handcrafted import rbd

ATTRIBUTES = {"created_by": "benchmark", "config": {}, "inputs": {}, "usod_version": ""}


def rbd_maps(count: int, size: int) -> np.ndarray:
    """(count, size, size) uint8: those of twenty drawn scenes, again and again."""
    drawn = [to_uint8(resize_map(rbd(draw_scene(0, n, (300, 400)).image), (size, size))) for n in range(20)]
    return np.stack([drawn[number % len(drawn)] for number in range(count)])


def noisy_blobs(count: int, size: int) -> np.ndarray:
    """(count, size, size) uint8: with noise of three levels in every pixel, which no saliency map has; half remains."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    centres = rng.random((count, 2, 1, 1))
    blobs = np.exp(-((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2) / 0.05)
    return (255 * blobs + rng.integers(0, 3, blobs.shape)).clip(0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--size", type=int, default=432)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for kind, drawn in (("RBD's maps", rbd_maps), ("noisy blobs", noisy_blobs)):
        measure(kind, drawn(arguments.maps, arguments.size), arguments.repeats)


def measure(kind: str, maps: np.ndarray, repeats: int) -> None:
    """Print the ratios for one kind of maps."""
    ids = [f"image{i}" for i in range(len(maps))]
    size = maps.shape[1:]

    with tempfile.TemporaryDirectory() as folder:
        store, bare = Path(folder) / "store.h5", Path(folder) / "bare.h5"

        def write_store() -> None:
            with write_maps(store, ids, size, np.full((len(ids), 2), size), ATTRIBUTES) as rows:
                for key, saliency in zip(ids, maps, strict=True):
                    rows[key] = saliency

        def write_bare() -> None:
            with h5py.File(bare, "w") as file:
                rows = file.create_dataset("maps", maps.shape, np.uint8, chunks=(1, *size))
                for i, saliency in enumerate(maps):
                    rows[i] = saliency
            with bare.open("rb+") as file:
                os.fsync(file.fileno())

        def read_store() -> None:
            with MapStore(store) as reader:
                reader.read_all(ids)

        def read_bare() -> None:
            with h5py.File(bare) as file:
                file["maps"][:]

        def read_one_by_one() -> None:
            with MapStore(store) as reader:
                for key in ids:
                    reader.raw(key)

        def read_bare_one_by_one() -> None:
            with h5py.File(bare) as file:
                for i in range(len(ids)):
                    file["maps"][i]

        calls = [write_store, write_bare, read_store, read_bare, read_one_by_one, read_bare_one_by_one]
        times = best_of(calls, repeats)
        sizes = [path.stat().st_size / 1e6 for path in (store, bare)]
    for name, ours, theirs in zip(("write", "read all", "read one by one"), times[::2], times[1::2], strict=True):
        rate = len(maps) / ours
        judge(
            f"MapStore, {kind}, {name}, time over bare h5py's", ours / theirs, "x", most=3, beside=f"{rate:.0f} maps/s"
        )
    sys.stdout.write(f"MapStore of {kind}: {sizes[0]:.1f} MB, bare h5py {sizes[1]:.1f} MB\n")


if __name__ == "__main__":
    main()
