"""Writes the golden maps anew, for a change that is meant to change results: `python -m tests.golden`.

Say in the commit what changed them and by how much (it is printed), and why it is right. `--scenes` draws the scenes
anew as well. No test runs this.
"""

import argparse
import sys

import numpy as np
from PIL import Image

from usod.data.scenes import draw_scene

from .results import FILE, PARTS, SCENES, Golden, quantised, read_golden, results, write_golden


def drawn(index: int) -> np.ndarray:
    image = draw_scene(20, index, (120, 160)).image
    if index == len(SCENES) - 1:  # an artificial frame, which some methods cut off
        framed = np.full_like(image, 250)
        framed[5:-5, 7:-7] = image[5:-5, 7:-7]
        return framed
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", action="store_true", help="draw the scenes anew")
    arguments = parser.parse_args()
    before, after = read_golden(), {}
    for i, path in enumerate(SCENES):
        if arguments.scenes or not path.exists():
            Image.fromarray(drawn(i)).save(path, optimize=True)
        for name, result in (found for part in PARTS for found in results(path, part)):
            whole = result.dtype.kind in "iub" or not result.size
            low, high = (0.0, 0.0) if whole else (float(result.min()), float(result.max()))
            after[name] = Golden(quantised(result, low, high), low, high)
            if name in before and before[name].levels.shape == result.shape:
                was = before[name]
                far = (np.abs(quantised(result, was.low, was.high) - was.levels) > 1).mean() if result.size else 0.0
                sys.stdout.write(f"{name}: {far:.2%} of the values differ by more than one level\n")
            elif before:
                sys.stdout.write(f"{name}: new, or of another shape\n")
    write_golden(after)
    sys.stdout.write(f"{FILE.name}: {len(after)} results, {FILE.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
