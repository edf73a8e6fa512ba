"""Speed of the handcrafted detectors on one thread at 400x300, step by step, and of their extraction over many images.

    python benchmarks/handcrafted.py [IMAGE...] [--methods rbd mc] [--repeats N]

For each method: milliseconds an image (the median and the best of all runs), the ratio to the plain implementation in
`handcrafted_reference.py` (its time over ours, taken in alternation on the same images, median of each) and the
correlation of the two maps (median over the images); then the share of each step, a step being a function that the
method's module defines or imports, without the steps inside it. Then images a second of `extract_maps` with one and two
worker processes once they are up, and the peak memory of a process that extracts n and 4n maps. Without images, scenes
of the demo are used. Other peers in the same run: OpenCV contrib's saliency and pyimgsaliency, where they are
installed. In the end RBD takes a photograph of 24 megapixels from its JPEG file.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from importlib import import_module
from inspect import isclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from handcrafted_reference import REFERENCES
from PIL import Image
from timing import judge, lacking

from usod.data.images import read_image, resize_image
from usod.data.scenes import draw_scene
from usod.handcrafted import METHODS
from usod.handcrafted.extract import extract_maps

SIZE = (300, 400)
START_UP = 4.0  # seconds that processes may take to import and load compiled code
GOALS = {"rbd": 18.0, "mc": 15.0, "dsr": 140.0, "hs": 70.0, "mbd": 35.0, "bsca": 25.0}
"""Milliseconds of one image of 400x300 on one quiet core."""
LARGE, LARGE_SECONDS, LARGE_MB = (4000, 6000), 1.5, 600.0
# Without what this script imports beside; the first, small image loads what is compiled.
FROM_FILE = """
import sys, time
from usod.handcrafted.extract import extract_maps
list(extract_maps(sys.argv[1:2], "rbd", {}))
start = time.perf_counter()
list(extract_maps(sys.argv[2:], "rbd", {}))
print(time.perf_counter() - start, open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""
ROUNDS = 2  # of extraction with one worker, then two: the best of each counts


class StepTimer:
    """Seconds spent in each function of a module's namespace, without those in the functions it calls from there."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]  # of each call in progress, the time its steps have taken

    @contextmanager
    def timing(self, module: ModuleType) -> Iterator[None]:
        """Within the block, the module finds its functions replaced by timed ones; the module's file stays as it is."""
        found = {name: f for name, f in vars(module).items() if callable(f) and not isclass(f) and name[0] != "_"}
        try:
            for name, function in found.items():
                setattr(module, name, self._timed(name, function))
            yield
        finally:
            for name, function in found.items():
                setattr(module, name, function)

    def _timed(self, name: str, function: Callable) -> Callable:
        @wraps(function, updated=())
        def timed(*args: object, **kwargs: object) -> object:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                taken = time.perf_counter() - start
                self.seconds[name] += taken - self._inner.pop()
                self._inner[-1] += taken

        return timed


def step_shares(method: str, images: Sequence[np.ndarray]) -> list[tuple[str, float]]:
    """(step, share of the method's time), the largest first; what the method does outside of all steps has its name."""
    module = import_module(f"usod.handcrafted._{method}")
    timer = StepTimer()
    with timer.timing(module):
        for image in images:
            getattr(module, method)(image)
    total = sum(timer.seconds.values())
    return sorted(((name, taken / total) for name, taken in timer.seconds.items()), key=lambda step: -step[1])


def alternate(calls: Sequence[Callable[[], object]], repeats: int) -> list[list[float]]:
    """The times of each call in seconds, the calls taking turns so that a busy machine slows them all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return times


def compare(method: str, images: Sequence[np.ndarray], repeats: int) -> str:
    """The lines of the report on one method."""
    detector, reference = METHODS[method], REFERENCES[method]
    maps = [(detector(image), reference(image)) for image in images]  # also warms both up
    agreement = median(float(np.corrcoef(ours.ravel(), plain.ravel())[0, 1]) for ours, plain in maps)
    ours, plain = [], []
    for image in images:
        times = alternate([partial(detector, image), partial(reference, image)], repeats)
        ours += times[0]
        plain += times[1]
    shares = [(name, share) for name, share in step_shares(method, list(images) * repeats) if share >= 0.02]
    rest = 1.0 - sum(share for _, share in shares)
    steps = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    beside = f"plain NumPy {1e3 * median(plain):.0f} ms: {median(plain) / median(ours):.1f} x, r {agreement:.3f}"
    judge(f"{method} at 400x300", 1e3 * median(ours), "ms", most=GOALS[method], beside=beside)
    return (
        f"{method}: {1e3 * median(ours):.1f} ms (best {1e3 * min(ours):.1f})  reference {1e3 * median(plain):.0f} ms  "
        f"ratio {median(plain) / median(ours):.1f}  correlation {agreement:.3f}\n    {steps}, rest {rest:.0%}\n"
    )


def peers(images: Sequence[np.ndarray], repeats: int) -> None:
    """What others would take for the same images, beside RBD."""
    calls: dict[str, Callable[[np.ndarray, str], object]] = {}
    try:
        from cv2 import saliency  # type: ignore[attr-defined]
    except ImportError:
        lacking("OpenCV's saliency", "opencv-contrib-python-headless")
    else:
        spectral, grained = (
            saliency.StaticSaliencySpectralResidual_create(),
            saliency.StaticSaliencyFineGrained_create(),
        )
        calls["OpenCV's spectral residual"] = lambda image, _: spectral.computeSaliency(image)
        calls["OpenCV's fine grained saliency"] = lambda image, _: grained.computeSaliency(image)
    try:
        from pyimgsaliency import get_saliency_rbd
    except ImportError:
        lacking("pyimgsaliency's RBD", "pyimgsaliency (github.com/yhenon/pyimgsaliency, for older libraries)")
    else:
        calls["pyimgsaliency's RBD, from a PNG file"] = lambda _, path: get_saliency_rbd(path)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "image.png"))
        for name, call in calls.items():
            ours, theirs = [], []
            for image in images:
                Image.fromarray(image).save(path)
                times = alternate([partial(METHODS["rbd"], image), partial(call, image, path)], repeats)
                ours += times[0]
                theirs += times[1]
            milliseconds = f"{1e3 * median(theirs):.2f} ms, RBD {1e3 * median(ours):.1f} ms"
            judge(f"{name}, its time over RBD's", median(theirs) / median(ours), "x", beside=milliseconds)


def large(image: np.ndarray) -> None:
    """A large photograph from its file to RBD's map, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, name)) for name in ("small.jpg", "large.jpg")]
        for path, picture in zip(paths, (image, resize_image(image, LARGE)), strict=True):
            Image.fromarray(picture).save(path, quality=90)
        done = subprocess.run([sys.executable, "-c", FROM_FILE, *paths], stdout=subprocess.PIPE, text=True, check=True)
    seconds, kilobytes = map(float, done.stdout.split())
    judge("24 megapixels, JPEG to RBD's map", seconds, "s", most=LARGE_SECONDS)
    judge("24 megapixels, peak memory of the process", kilobytes / 1e3, "MB", most=LARGE_MB)


def extraction_rate(paths: Sequence[str], method: str, workers: int, seconds: float) -> float:
    """Images a second once the processes are up."""
    maps = extract_maps(list(paths) * 1000, method, {}, workers=workers)
    up = time.perf_counter() + START_UP
    while time.perf_counter() < up:
        next(maps)
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        next(maps)
        count += 1
    rate = count / (time.perf_counter() - start)
    maps.close()
    return rate


def peak_memory(paths: Sequence[str], method: str) -> float:
    """Peak memory of this process in MB after extracting these maps."""
    for _ in extract_maps(paths, method, {}):
        pass
    if sys.platform == "linux":  # getrusage would count the memory of the parent as well
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def in_fresh_process(paths: Sequence[str], method: str) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak_memory, paths, method).result()


def extraction(method: str, paths: Sequence[str], seconds: float) -> str:
    """The line of the report on one method's extraction."""
    rates = [[extraction_rate(paths, method, workers, seconds) for workers in (1, 2)] for _ in range(ROUNDS)]
    one, two = np.max(rates, axis=0)
    few, all_of_them = (in_fresh_process(part, method) for part in (paths[: len(paths) // 4], paths))
    return (
        f"{method}: extraction {one:.1f} images/s, two workers {two:.1f} ({two / one:.2f} x); peak memory "
        f"{few:.0f} MB for {len(paths) // 4} images, {all_of_them:.0f} MB for {len(paths)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="image files to measure on, resized to 400x300")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement of the extraction; 0: none")
    arguments = parser.parse_args()
    if arguments.images:
        images = [resize_image(read_image(path), SIZE) for path in arguments.images]
    else:
        images = [draw_scene(0, index, SIZE).image for index in range(4)]
    for method in arguments.methods:
        sys.stdout.write(compare(method, images, arguments.repeats))
        sys.stdout.flush()
    peers(images, arguments.repeats)
    if sys.platform == "linux":
        large(images[0])
    if not arguments.seconds:
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{i:02}.jpg")) for i in range(80)]
        for i, path in enumerate(paths):
            Image.fromarray(images[i % len(images)]).save(path)
        for method in arguments.methods:
            sys.stdout.write(extraction(method, paths, arguments.seconds))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
