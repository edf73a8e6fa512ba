"""Speed, memory and agreement of the built-in dense CRF against pydensecrf, on one thread.

    python benchmarks/crf.py [IMAGE...]

Ratios are pydensecrf's time over ours, taken in alternation on the same images, the best of several runs each:
`cached` is a refinement with the lattices kept, as in training; `single` builds them too. pydensecrf always builds
them, so both are compared with its whole call; `filtering` compares cached refinement with its inference alone.
Without images, made-up ones are used. Probabilities are a blurred blob with noise.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image

from usod.crf import CRFParams, DenseCRF, refine

SIZES = (160, 320, 432)


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


def seconds(calls: Sequence[Callable[[], object]], repeats: int, device: str = "cpu") -> list[float]:
    """The best time of each call, the calls taking turns so that a busy machine slows them all alike."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def compare(images: np.ndarray, maps: np.ndarray, repeats: int) -> dict[str, float]:
    """One row of the table, per image, for (B,H,W,3) uint8 images and (B,H,W) float32 maps."""
    crf = DenseCRF(images)
    ours = crf.refine(maps)
    theirs = refine(images, maps, backend="pydensecrf")
    build_only = CRFParams(iterations=0)
    cached, single, original, original_build = seconds(
        [
            lambda: crf.refine(maps),
            lambda: refine(images, maps),
            lambda: refine(images, maps, backend="pydensecrf"),
            lambda: refine(images, maps, build_only, backend="pydensecrf"),
        ],
        repeats,
    )
    n = len(images)
    return {
        "pydensecrf ms": 1e3 * original / n,
        "cached ms": 1e3 * cached / n,
        "single ms": 1e3 * single / n,
        "cached x": original / cached,
        "filtering x": (original - original_build) / cached,
        "single x": original / single,
        "MB/image": crf.memory_bytes / 1e6 / n,
        "max diff": float(np.abs(ours - theirs).max()),
        "flips/Mpx": 1e6 * float(((ours > 0.5) != (theirs > 0.5)).mean()),
    }


def compare_cuda(images: np.ndarray, maps: np.ndarray, repeats: int) -> dict[str, float]:
    """The CUDA device against pydensecrf, per image."""
    crf, prior = DenseCRF(images, device="cuda"), torch.from_numpy(maps).cuda()
    ours, theirs = crf.refine(prior).cpu().numpy(), refine(images, maps, backend="pydensecrf")
    (cached, single) = seconds([lambda: crf.refine(prior), lambda: refine(images, prior)], repeats, "cuda")
    (original,) = seconds([lambda: refine(images, maps, backend="pydensecrf")], repeats)
    n = len(images)
    return {
        "pydensecrf ms": 1e3 * original / n,
        "cached ms": 1e3 * cached / n,
        "single ms": 1e3 * single / n,
        "cached x": original / cached,
        "single x": original / single,
        "max diff": float(np.abs(ours - theirs).max()),
        "flips/Mpx": 1e6 * float(((ours > 0.5) != (theirs > 0.5)).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="image files to measure on")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    rows = [("cpu", size, compare) for size in SIZES]
    if torch.cuda.is_available():
        rows += [("cuda", size, compare_cuda) for size in SIZES]
    for device, size, measure in rows:
        if arguments.images:
            photographs = [Image.open(path).convert("RGB").resize((size, size)) for path in arguments.images]
            images = np.stack([np.asarray(photograph) for photograph in photographs])
        else:
            images = np.stack([made_up_image(rng, size) for _ in range(4)])
        maps = np.stack([noisy_blob(rng, size) for _ in images])
        result = measure(images, maps, arguments.repeats)
        sys.stdout.write(f"{device} {size}: " + "  ".join(f"{key} {value:.3g}" for key, value in result.items()) + "\n")


if __name__ == "__main__":
    main()
