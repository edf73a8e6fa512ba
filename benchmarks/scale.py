"""How time and memory grow with the images: python benchmarks/scale.py --images 100 1000 10000

Every step of a run of one's own photographs that touches each image, from the folder to masks and gallery, with a small
network. The images are links to a few files of 32x32: the numbers are those of the bookkeeping. A line is fitted to the
times of each step: what an image adds, and how far the largest set is from the line through the smaller ones (1: on
it). Memory should not grow. Everything is written into a temporary folder (about 1 GB for 100,000).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from timing import judge

ROOT = Path(__file__).parents[1]
CONFIG = """
datasets: {photos: {root: photos, has_masks: false}}
train: photos
size: 64
maps: {chunks: CHUNKS}
network: {name: light}
"""
STEPS = {
    "data check": "data check photos",
    "data index": "data index photos --out index.csv",
    "data images": "data images --index index.csv --size 32 --out images.h5",
    "maps extract rbd": "maps extract rbd --index index.csv --out rbd.h5",
    "maps extract mbd": "maps extract mbd --index index.csv --out mbd.h5",
    "maps merge": "maps merge rbd.h5 --index index.csv --out merged.h5",
    "deepusps fuse": "deepusps fuse --images images.h5 --maps rbd=merged.h5 --maps mbd=mbd.h5 --out model.safetensors"
    " --history history.csv --device cpu --threads 1 --config fuse.yaml --network network.yaml",
    "predict": "predict model.safetensors images.h5 --out final.h5 --device cpu --threads 1",
    "maps agree": "maps agree --labels a=rbd.h5 --labels b=mbd.h5 --index index.csv --csv doubts.csv",
    "maps export": "maps export final.h5 --threshold 0.5 --index index.csv --root photos --out masks",
    "report gallery": "report gallery --images images.h5 --map final=final.h5 --map rbd=rbd.h5 --values doubts.csv"
    " --out gallery --side 64",
}
"""Name -> call of usod, in the order of a run."""
FEW = 1000
"""Images up to which a step is measured three times: most of its seconds are the start of Python, which vary."""


class Cost(NamedTuple):
    seconds: float
    gigabytes: float


def measured(name: str, times: int, *command: str) -> Cost:
    """Run a command so many times; the least that it took. One that fails ends the benchmark."""
    script = (
        "import resource, subprocess, sys, time; start = time.monotonic()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20\n"
        "print(time.monotonic() - start, used)\n"
        "sys.exit(done.stderr[-600:] if done.returncode else 0)\n"
    )
    run = [sys.executable, "-c", script, *command]
    told = [subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout.split() for _ in range(times)]
    cost = min(Cost(*map(float, each)) for each in told)
    print(f"{name}: {cost.seconds:.1f} s, {cost.gigabytes:.2f} GB", flush=True)
    return cost


def link_images(count: int) -> None:
    """Links to eight drawings of 32x32, a thousand in a folder."""
    rng = np.random.default_rng(0)
    Path("few").mkdir()
    for number in range(8):
        small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize((32, 32)).save(f"few/{number}.jpg")
    for number in range(count):
        target = Path(f"photos/{number // 1000:04d}")
        target.mkdir(parents=True, exist_ok=True)
        os.link(f"few/{number % 8}.jpg", target / f"{number:07d}.jpg")


def costs(count: int, chunks: list[int]) -> dict[str, Cost]:
    """Step -> its cost for so many images, in a folder of its own."""
    print(f"{count} images")
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        link_images(count)
        Path("fuse.yaml").write_text("{epochs: 1, min_steps: 0, batch_size: 20}\n")
        Path("network.yaml").write_text("{name: light}\n")
        times = 3 if count <= FEW else 1  # what a line through small sets rests on
        found = {
            name: measured(name, times, sys.executable, "-m", "usod", *call.split()) for name, call in STEPS.items()
        }
        for parts in chunks:
            Path("config.yaml").write_text(CONFIG.replace("CHUNKS", str(parts)))
            plan = ("-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "-n", "-q", "--cores", "2")
            found[f"plan, {parts} chunks"] = measured(f"plan, {parts} chunks", times, sys.executable, *plan)
        os.chdir(before)
    return found


def tell(counts: list[int], found: list[dict[str, Cost]]) -> None:
    """A line for each step: what an image adds, and how straight it is; and the step whose memory grows most."""
    grown = {}
    for name in found[0]:
        seconds = [each[name].seconds for each in found]
        slope, start = np.polyfit(counts[:-1], seconds[:-1], 1)
        straight = start + max(slope, 0) * counts[-1]
        took = ", ".join(f"{s:.1f}" for s in seconds)
        beside = f"{took} s; {1e3 * np.polyfit(counts, seconds, 1)[0]:.2f} ms an image"
        what = f"{name}, {', '.join(map(str, counts))} images: time over the line through the smaller sets"
        judge(what, seconds[-1] / straight, "x", most=1.5, beside=beside)
        grown[name] = 1e3 * (found[-1][name].gigabytes - found[0][name].gigabytes)
    worst = max(grown, key=lambda name: grown[name])
    what = f"memory of any step, {counts[-1]} images over {counts[0]}"
    judge(what, grown[worst], "MB", most=100, beside=f"most: {worst}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[100, 1000, 10_000], help="how many, in turn")
    parser.add_argument("--chunks", type=int, nargs="*", default=[64, 1000], help="parts of the maps that are planned")
    arguments = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    counts = sorted(arguments.images)
    found = [costs(count, arguments.chunks) for count in counts]
    if len(counts) > 2:
        tell(counts, found)


if __name__ == "__main__":
    main()
