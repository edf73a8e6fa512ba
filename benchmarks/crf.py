"""Speed, memory and agreement of the built-in dense CRF against pydensecrf, which has one thread.

    python benchmarks/crf.py [IMAGE...] [--check]

Ratios are pydensecrf's time over ours, taken in alternation on the same images, the best of several runs each:
`kept` is a refinement with the lattices kept, as in training; `single` builds them too: on one thread, per image of a
call that has several. `alone` is a call with one image, shared by as many threads as its name says, by a `Refiner` that
knows the size already. pydensecrf always builds lattices, so all are compared with its whole call; `filtering` compares
a kept refinement with its inference alone. Without images, made-up ones are used. Probabilities are a blurred blob with
noise.
`--check` ends with an error if kept is not 4 times as fast, single slower than 2.5 times pydensecrf's time, or a CUDA
device not 50 times as fast, building included.
"""

import argparse
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from timing import best_of, judge, lacking

from usod.crf import CRFParams, DenseCRF, Refiner, refine

SIZES = (160, 320, 432)
ITERATIONS = (5, 10)  # DeepUSPS, A2S
GOALS = {
    "kept ms": ("lattice kept, one thread", 25.0),
    "single ms": ("building included, one thread", 45.0),
    "alone, kept, 2 threads": ("lattice kept, two threads share an image", 0.0),
    "alone, 2 threads": ("building included, two threads share an image", 0.0),
}
"""What is judged of images of 432x432 with 10 iterations, and the milliseconds that one may take on a quiet core."""


def made_up_image(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size,size,3) uint8: shaded, textured ellipses before a gradient, with sensor noise."""
    y, x = np.mgrid[:size, :size] / size
    image = np.stack(
        [80 + 90 * rng.random() + 60 * rng.random() * y + 40 * rng.random() * x for _ in range(3)], axis=-1
    )
    for _ in range(8):
        angle, (cx, cy), (a, b) = np.pi * rng.random(), rng.random(2), 0.05 + 0.25 * rng.random(2)
        u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / a
        v = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / b
        texture = 12 * np.sin(2 * np.pi * (5 + 20 * rng.random()) * u)
        shade = (255 * rng.random(3))[None, None] * (0.75 + 0.25 * np.clip(u + v, -1, 1))[..., None] + texture[
            ..., None
        ]
        image = np.where((u**2 + v**2 < 1)[..., None], shade, image)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def noisy_blob(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size,size) float32 in [0,1]."""
    y, x = np.mgrid[:size, :size] / size
    cx, cy = 0.3 + 0.4 * rng.random(2)
    blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.05)
    return np.clip(blob + rng.normal(0, 0.15, blob.shape), 0, 1).astype(np.float32)


def on_threads(count: int, call: Callable[[], object]) -> Callable[[], object]:
    """The call with so many threads of PyTorch, which are the CRF's too."""

    def timed() -> object:
        torch.set_num_threads(count)
        return call()

    return timed


def compare(images: np.ndarray, maps: np.ndarray, params: CRFParams, repeats: int) -> dict[str, float]:
    """One row of the table, per image, for (B,H,W,3) uint8 images and (B,H,W) float32 maps."""
    crf = DenseCRF(images, params)
    ours = crf.refine(maps)
    theirs = refine(images, maps, params, backend="pydensecrf")
    build_only = replace(params, iterations=0)
    refiner = Refiner(params)
    kept, single, original, original_build, *alone = best_of(
        [
            on_threads(1, lambda: crf.refine(maps)),
            on_threads(1, lambda: refine(images, maps, params)),
            lambda: refine(images, maps, params, backend="pydensecrf"),
            lambda: refine(images, maps, build_only, backend="pydensecrf"),
            *(on_threads(count, lambda: crf.refine(maps[:1], [0])) for count in (1, 2)),
            *(on_threads(count, lambda: refiner(images[0], maps[0])) for count in (1, 2)),
        ],
        repeats,
    )
    n = len(images)
    return {
        "pydensecrf ms": 1e3 * original / n,
        "kept ms": 1e3 * kept / n,
        "single ms": 1e3 * single / n,
        "kept x": original / kept,
        "filtering x": (original - original_build) / kept,
        "single x": original / single,
        "alone, kept, 1 thread": 1e3 * alone[0],
        "alone, kept, 2 threads": 1e3 * alone[1],
        "alone, 1 thread": 1e3 * alone[2],
        "alone, 2 threads": 1e3 * alone[3],
        "MB/image": crf.memory_bytes / 1e6 / n,
        **agreement(ours, theirs),
    }


def compare_cuda(images: np.ndarray, maps: np.ndarray, params: CRFParams, repeats: int) -> dict[str, float]:
    """The CUDA device against pydensecrf, per image."""
    crf, prior = DenseCRF(images, params, device="cuda"), torch.from_numpy(maps).cuda()
    ours, theirs = crf.refine(prior).cpu().numpy(), refine(images, maps, params, backend="pydensecrf")
    pixels = torch.from_numpy(images).cuda()
    kept, single = best_of([lambda: crf.refine(prior), lambda: refine(pixels, prior, params)], repeats)
    (original,) = best_of([lambda: refine(images, maps, params, backend="pydensecrf")], repeats)
    n = len(images)
    return {
        "pydensecrf ms": 1e3 * original / n,
        "kept ms": 1e3 * kept / n,
        "single ms": 1e3 * single / n,
        "kept x": original / kept,
        "single x": original / single,
        **agreement(ours, theirs),
    }


def agreement(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Largest difference, and pixels on the other side of 0.5 in a million."""
    flips = 1e6 * float(((ours > 0.5) != (theirs > 0.5)).mean())
    return {"max diff": float(np.abs(ours - theirs).max()), "flips/Mpx": flips}


def missed(device: str, row: dict[str, float]) -> list[str]:
    """The targets that a row does not reach."""
    targets = {"single x": 50} if device == "cuda" else {"kept x": 4, "single x": 1 / 2.5}
    return [f"{name} {row[name]:.2f} < {target}" for name, target in targets.items() if row[name] < target]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="image files to measure on")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    arguments = parser.parse_args()
    if importlib.util.find_spec("pydensecrf") is None:
        lacking("dense CRF against pydensecrf", "pydensecrf2")
        return
    rng = np.random.default_rng(0)

    failures = []
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device, size, iterations in itertools.product(devices, arguments.sizes, ITERATIONS):
        # A GPU is filled by a batch, as training gives it one.
        count = 4 if device == "cpu" else 20
        if arguments.images:
            photographs = [Image.open(path).convert("RGB").resize((size, size)) for path in arguments.images]
            images = np.stack([np.asarray(photograph) for photograph in photographs])
        else:
            images = np.stack([made_up_image(rng, size) for _ in range(count)])
        maps = np.stack([noisy_blob(rng, size) for _ in images])
        measure = compare if device == "cpu" else compare_cuda
        row = measure(images, maps, CRFParams(iterations=iterations), arguments.repeats)
        cells = "  ".join(f"{key} {value:.3g}" for key, value in row.items())
        sys.stdout.write(f"{device} {size}x{size}, {iterations} iterations: {cells}\n")
        if (device, size, iterations) == ("cpu", 432, 10):
            for key, (kind, goal) in GOALS.items():
                peer = f"pydensecrf {row['pydensecrf ms']:.0f} ms: {row['pydensecrf ms'] / row[key]:.2f} x"
                judge(f"dense CRF, 432x432, 10 iterations, {kind}", row[key], "ms", most=goal, beside=peer)
        failures += [f"{device} {size}, {iterations} iterations: {text}" for text in missed(device, row)]
    if arguments.check and failures:
        raise SystemExit("\n".join(["targets missed:", *failures]))


if __name__ == "__main__":
    main()
