"""Time and memory of what touches every image of a large set: python benchmarks/scale.py --images 100000

The images are hard links to a few files of 32x32, so that the numbers are those of the bookkeeping. Everything is
written into a temporary folder (about 0.5 GB for 100,000).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
PARTS = """
import sys
import numpy as np
from usod.data.index import read_index
from usod.data.mapstore import write_maps
ids, parts = list(read_index("index.csv")["id"]), int(sys.argv[1])
for number in range(parts):
    part = ids[number * len(ids) // parts : (number + 1) * len(ids) // parts]
    origin = {"created_by": "benchmark", "config": {}, "inputs": {}, "usod_version": "0"}
    with write_maps(f"part{number}.h5", part, (32, 32), [[32, 32]] * len(part), origin) as rows:
        for key in part:
            rows[key] = np.eye(32)
"""
CONFIG = """
datasets: {photos: {root: photos, has_masks: false}}
train: photos
size: 64
maps: {chunks: CHUNKS}
network: {name: light}
"""


def measured(name: str, *command: str) -> None:
    """Run a command and print its time and largest memory."""
    script = (
        "import resource, subprocess, sys, time; start = time.monotonic()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20\n"
        "print(f'{time.monotonic() - start:.1f} s, {used:.2f} GB', done.stderr[-300:] if done.returncode else '')\n"
    )
    found = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    print(f"{name}: {found.stdout.strip()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    count = parser.parse_args().images
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rng = np.random.default_rng(0)
        Path("few").mkdir()
        for number in range(8):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(f"few/{number}.jpg")
        for number in range(count):
            target = Path(f"photos/{number // 1000:04d}")
            target.mkdir(parents=True, exist_ok=True)
            os.link(f"few/{number % 8}.jpg", target / f"{number:07d}.jpg")
        usod = (sys.executable, "-m", "usod")
        print(f"{count} images")
        measured("data check", *usod, "data", "check", "photos")
        measured("data index", *usod, "data", "index", "photos", "--out", "index.csv")
        measured("data images", *usod, "data", "images", "--index", "index.csv", "--size", "32", "--out", "images.h5")
        subprocess.run([sys.executable, "-c", PARTS, "8"], check=True)
        parts = [f"part{number}.h5" for number in range(8)]
        measured("maps merge", *usod, "maps", "merge", *parts, "--index", "index.csv", "--out", "maps.h5")
        labels = ("--labels", "a=maps.h5", "--labels", "b=maps.h5")
        measured("maps agree", *usod, "maps", "agree", *labels, "--index", "index.csv", "--csv", "doubts.csv")
        for chunks in (64, 1000):
            Path("config.yaml").write_text(CONFIG.replace("CHUNKS", str(chunks)))
            plan = (
                sys.executable,
                "-m",
                "snakemake",
                "--snakefile",
                str(ROOT / "Snakefile"),
                "-n",
                "-q",
                "--cores",
                "2",
            )
            measured(f"plan with {chunks} chunks", *plan)


if __name__ == "__main__":
    main()
