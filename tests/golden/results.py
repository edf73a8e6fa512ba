"""What the golden maps hold: of three drawn scenes, every handcrafted map and the results on the way to it, and the
CRFs' maps.

The scenes are kept as files, so that their drawing decides nothing. Results on the way are what the functions named in
`STEPS` give while the method runs: their first call's. Of maps every third pixel is kept along both sides, of pixels'
results on the way every fourth (of a stack of them every twelfth); of matrices over regions the rows' sums.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from usod.crf import CRFParams, DenseCRF, refine
from usod.crf.superpixel import SuperpixelParams, features, refine_with_superpixels, superpixels, unary
from usod.data.images import read_image
from usod.handcrafted import METHODS
from usod.handcrafted.frame import find_frame, sobel_edges

FILE = Path(__file__).with_name("golden.npz")
SCENES = tuple(Path(__file__).with_name(f"scene{i}.png") for i in range(3))
STEPS = {
    "rbd": (
        "slic",
        "region_mean",
        "colour_scales",
        "contact_orders",
        "boundary_connectivity",
        "background_probability",
        "weighted_contrast",
        "otsu_threshold",
        "smoothness_weight",
        "optimise",
    ),
    "dsr": (
        "slic",
        "region_features",
        "dense_error",
        "sparse_error",
        "cluster_regions",
        "propagate_context",
        "scale_weights",
        "integrate_scales",
        "object_biased",
        "bayes_posterior",
    ),
    "mc": (
        "slic",
        "region_colour",
        "chain_links",
        "affinity_matrix",
        "absorbing_regions",
        "absorbed_time",
        "mid_grey_score",
        "equilibrium_weight",
    ),
    "hs": ("over_segment", "region_layers", "local_contrast", "location_prior", "hierarchical_inference"),
    "mbd": ("barrier_distance", "border_contrast", "smooth", "enhance_contrast"),
    "bsca": (
        "slic",
        "background_map",
        "border_clusters",
        "colour_distinction",
        "spatial_weight",
        "impact_factors",
        "coherence_values",
        "suppress_border",
        "update",
    ),
}
CRFS = {
    "default": CRFParams(),
    # Weak kernels leave marginals between 0 and 1.
    "weak": CRFParams(
        gaussian_sxy=2, gaussian_compat=0.3, bilateral_sxy=30, bilateral_srgb=20, bilateral_compat=0.6, iterations=3
    ),
}
SUPERPIXEL_CRFS = {"paper": SuperpixelParams(), "released": SuperpixelParams(offset=0.1, threshold=0.65, border=False)}


PARTS = (*STEPS, "frame", "crf", "spcrf")
"""What `results` gives one of at a time: the methods, the frame, the CRF on pixels and that on superpixels."""


def results(scene: Path, part: str) -> Iterator[tuple[str, np.ndarray]]:
    """(name, result) of one of `PARTS` on one scene."""
    name, image = scene.stem, read_image(scene)
    if part in STEPS:
        with first_results(import_module(f"usod.handcrafted._{part}"), STEPS[part]) as found:
            saliency = METHODS[part](image)
        yield f"{name}/{part}", saliency[2::3, 2::3]
        for step in STEPS[part]:
            if step in found:  # some are for images of a kind only
                yield f"{name}/{part}/{step}", found[step]
    elif part == "frame":
        yield f"{name}/frame", as_array(find_frame(image))
        yield f"{name}/frame/edges", as_array(sobel_edges(image @ np.array([0.299, 0.587, 0.114])))
    else:
        # A map that depends on the scene alone: the distance from its mean colour.
        yield from (crf_results if part == "crf" else superpixel_results)(name, image, prior_of(image))


def prior_of(image: np.ndarray) -> np.ndarray:
    distance = np.abs(image.astype(np.int64) - image.mean(axis=(0, 1)).astype(np.int64)).sum(axis=2)
    return np.clip(distance / (3 * distance.mean()), 0.02, 0.98).astype(np.float32)


def crf_results(name: str, image: np.ndarray, prior: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for kind, params in CRFS.items():
        yield f"{name}/crf/{kind}", refine(image, prior, params)[2::3, 2::3]
        yield f"{name}/crf/{kind}", DenseCRF(image[None], params).refine(prior[None])[0, 2::3, 2::3]


def superpixel_results(name: str, image: np.ndarray, prior: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for kind, superpixel_params in SUPERPIXEL_CRFS.items():
        yield f"{name}/spcrf/{kind}", refine_with_superpixels(image, prior, superpixel_params)[2::3, 2::3]
    regions = superpixels(image, 350)
    colours, positions = features(image, regions)
    yield f"{name}/spcrf/superpixels", as_array(regions)
    yield f"{name}/spcrf/colours", colours
    yield f"{name}/spcrf/positions", positions
    yield f"{name}/spcrf/unary", unary(colours, np.linalg.norm(positions - 0.5, axis=1) < 0.3, SuperpixelParams())


@contextmanager
def first_results(module: ModuleType, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
    """Within the block, what the functions of these names in a module give when it first calls them."""
    found: dict[str, np.ndarray] = {}

    def watched(name: str):
        function = getattr(module, name)

        @wraps(function)
        def call(*args, **kwargs):
            result = function(*args, **kwargs)
            found.setdefault(name, as_array(result))
            return result

        return call

    with patch.multiple(module, **{name: watched(name) for name in names}):
        yield found


def as_array(result: object) -> np.ndarray:
    """One array of what a step gives: of several, their values in a row."""
    if isinstance(result, (tuple, list)):
        return np.concatenate([np.atleast_1d(as_array(part)).ravel() for part in result])
    array = np.array(result)
    if array.ndim >= 2 and min(array.shape[-2:]) > 99 and array.shape[-2] != array.shape[-1]:
        return array[:, 3::12, 3::12] if array.ndim == 3 else array[3::4, 3::4]
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    return array.sum(axis=1) if square else array


def quantised(result: np.ndarray, low: float, high: float) -> np.ndarray:
    """Whole numbers stay; others become levels 0..255 of the range from `low` to `high`, more or less where outside."""
    if result.dtype.kind in "iub":
        return result.astype(np.int64)
    return np.rint((result - low) / ((high - low) or 1.0) * 255.0).clip(-1000, 1000).astype(np.int64)


class Golden(NamedTuple):
    """A result as it was: levels as `quantised` makes them, and the range that they are of (0, 0: whole numbers)."""

    levels: np.ndarray
    low: float
    high: float


def read_golden() -> dict[str, Golden]:
    """All results by name; {} where none are kept."""
    if not FILE.exists():
        return {}
    with np.load(FILE) as file:
        index = json.loads(str(file["index"]))
        levels = file["high"].astype(np.int64) * 256 + file["low"]
    ends = np.cumsum([int(np.prod(shape)) for _, shape, _, _ in index])
    parts = np.split(levels, ends[:-1])
    return {
        name: Golden(part.reshape(shape), low, high)
        for (name, shape, low, high), part in zip(index, parts, strict=True)
    }


def write_golden(golden: dict[str, Golden]) -> None:
    """Keep results: one array for all, as hundreds would take more room than what is in them."""
    index = [(name, kept.levels.shape, kept.low, kept.high) for name, kept in golden.items()]
    levels = np.concatenate([kept.levels.ravel() for kept in golden.values()])
    if levels.min() < 0 or levels.max() >= 2**16:
        raise ValueError("levels do not fit 16 bits")
    # The high bytes, nearly all 0, take no room when they lie by themselves.
    np.savez_compressed(
        FILE, index=json.dumps(index), high=(levels // 256).astype(np.uint8), low=levels.astype(np.uint8)
    )
