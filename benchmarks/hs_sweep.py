"""What the constants that the HS paper leaves open are worth, with masks. No default follows from it.

    python benchmarks/hs_sweep.py FOLDER... [--every N] [--first K]

Each folder holds images/ and masks/. The segmentation of an image is done once; cues and inference are repeated for
every row of the table. Printed per data set: adaptive F (beta^2 = 0.3, mean over images), MAE, and the maximum of the
F of the averaged precision-recall curve.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from skimage.color import rgb2lab, rgb2luv  # type: ignore[attr-defined]

from usod.data.images import read_image, read_mask
from usod.evaluation.benchmark import Benchmark
from usod.handcrafted._hs import (
    SCALE_THRESHOLDS,
    SED2_SIGMA,
    hierarchical_inference,
    local_contrast,
    location_prior,
    region_layers,
    region_parents,
)
from usod.regions.graph import min_max
from usod.regions.labels import region_centre, region_mean, region_size

# The defaults, and changes of them.
DEFAULTS: dict[str, Any] = {
    "sigma": 0.2,
    "colour": "luv",
    "location": "sides",
    "beta": (0.5, 4, 2),
    "lambda": (4, 2),
}
CHANGES: list[dict[str, Any]] = [
    {},
    *({"sigma": sigma} for sigma in (0.3, 0.45, SED2_SIGMA, 1.0, 2.0)),
    {"location": "diagonal"},
    {"colour": "lab"},
    {"beta": (1, 1, 1), "lambda": (1, 1)},
    {"lambda": (1, 1)},
    {"lambda": (4, 4)},
    {"beta": (0.01, 4, 2)},
    {"location": "diagonal", "colour": "lab"},
]


class Segmented(NamedTuple):
    layers: list[np.ndarray]
    colours: dict[str, list[np.ndarray]]
    mask: np.ndarray


def segment(image_file: Path, mask_file: Path) -> Segmented:
    image = read_image(image_file)
    luv = rgb2luv(image)
    layers = region_layers(luv)
    lab = rgb2lab(image)
    colours = {name: [region_mean(labels, c) for labels in layers] for name, c in (("luv", luv), ("lab", lab))}
    return Segmented(layers, colours, read_mask(mask_file))


def saliency(image: Segmented, settings: dict[str, Any]) -> np.ndarray:
    """`usod.handcrafted._hs` with the choices of the sweep."""
    height, width = image.mask.shape
    diagonal = np.hypot(height, width)
    cues = []
    colours = image.colours[settings["colour"]]
    for labels, colour, threshold in zip(image.layers, colours, SCALE_THRESHOLDS, strict=True):
        centres = region_centre(labels) * labels.shape / diagonal
        contrast = local_contrast(colour, centres, region_size(labels), settings["sigma"] ** 2 * threshold)
        if settings["location"] == "sides":
            location = location_prior(labels)
        else:
            rows, columns = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
            location = region_mean(labels, np.exp(-9 * (rows[:, None] ** 2 + columns**2) / diagonal**2))[:, 0]
        cues.append(min_max(contrast) * min_max(location))
    parents = [region_parents(fine, coarse) for fine, coarse in pairwise(image.layers)]
    finest = hierarchical_inference(cues, parents, settings["beta"], settings["lambda"])[0]
    return min_max(finest)[image.layers[0]].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1, help="every N-th image")
    parser.add_argument("--first", type=int, default=0, help="beginning with this one")
    arguments = parser.parse_args()
    sets: dict[str, list[Segmented]] = {}
    for folder in arguments.folders:
        masks = {file.stem: file for file in (folder / "masks").iterdir()}
        files = sorted((folder / "images").iterdir())[arguments.first :: arguments.every]
        images = [segment(file, masks[file.stem]) for file in files if file.stem in masks]
        sets[folder.name] = [image for image in images if image.mask.any()]
    heads = [f"{name} ({len(images)})" for name, images in sets.items()]
    sys.stdout.write(f"| changed | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}\n")
    for change in CHANGES:
        cells = []
        for images in sets.values():
            benchmark = Benchmark()
            for image in images:
                benchmark.step(saliency(image, DEFAULTS | change), image.mask)
            scores, curves = benchmark.results(), benchmark.curves()
            cells.append(f"{scores['f_adaptive']:.3f} {scores['mae']:.3f} {curves['f_of_pr'].max():.3f}")
        name = ", ".join(f"{key} {value}" for key, value in change.items()) or "nothing"
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
