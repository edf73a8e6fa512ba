"""CPU seconds and peak memory of cutting out: guided filter, colours, two mattings, each in a process of its own.

    python benchmarks/cutouts.py [--megapixels 1 6 24]

The image is a drawn scene, enlarged; its map is the scene's mask, blurred.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from scipy.ndimage import gaussian_filter
from timing import judge

from usod.data.images import resize_image, resize_map
from usod.data.scenes import draw_scene
from usod.inference.guided_filter import guided_filter
from usod.inference.matting import cut_out, estimate_opacity

Step = Callable[[np.ndarray, np.ndarray], object]
STEPS: dict[str, Step] = {
    "guided filter, radius 8": lambda image, saliency: guided_filter(image, saliency, 8),
    "the same at full size": lambda image, saliency: guided_filter(image, saliency, 8, subsample=1),
    "colours": cut_out,
    "closed-form": lambda image, saliency: estimate_opacity(image, saliency, "closed-form"),
    "knn": lambda image, saliency: estimate_opacity(image, saliency, "knn"),
}


def measure(name: str, megapixels: float) -> tuple[float, float]:
    """Seconds of CPU of one step, and the gigabytes that it adds to the process."""
    scene = draw_scene(0, 0, (300, 400))
    saliency = gaussian_filter(scene.mask.astype(np.float32), 1)
    STEPS[name](scene.image[::4, ::4].copy(), saliency[::4, ::4].copy())  # Numba compiles
    factor = (megapixels * 1e6 / saliency.size) ** 0.5
    size = round(300 * factor), round(400 * factor)
    image, saliency = resize_image(scene.image, size).copy(), resize_map(saliency, size).copy()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    STEPS[name](image, saliency)
    return time.process_time() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 6])
    for megapixels in parser.parse_args().megapixels:
        taken = {}
        for name in STEPS:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                seconds, memory = pool.submit(measure, name, megapixels).result()
            sys.stdout.write(f"{megapixels:5.0f} megapixels, {name:24} {seconds:7.2f} s, {memory:.2f} GB\n")
            sys.stdout.flush()
            taken[name] = seconds
        filtered, exact = list(taken.values())[:2]
        what = f"cut-outs, {megapixels:g} megapixels: guided filter at full size over subsampled"
        judge(what, exact / filtered, "x", beside=", ".join(f"{name} {s:.2f} s" for name, s in taken.items()))


if __name__ == "__main__":
    main()
