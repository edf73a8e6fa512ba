"""Scores of one image (`score`), of a stream of images (`Benchmark`) and of a set of maps (`evaluate`).

The numbers agree with PySODMetrics 1.6.2 wherever it has the measure. What it lacks is the F of DeepUSPS (`f_fixed`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usod.data.images import resize_map
from usod.data.index import load_graded_mask, load_mask
from usod.data.mapstore import Maps
from usod.data.parallel import threaded_map
from usod.data.store import require_ids
from usod.errors import UsageError, UsodError
from usod.evaluation import measures
from usod.evaluation.protocols import Tally
from usod.files import atomic_path, write_text

MEASURES = {
    "mae": "mean absolute error",
    "precision": "precision at the adaptive threshold, min(2 mean, 1)",
    "recall": "recall at the adaptive threshold, min(2 mean, 1)",
    "f_fixed": "F of p > 0.5, mean over images (DeepUSPS)",
    "f_adaptive": "F of p >= min(2 mean, 1), mean over images (A2S's code, LDPS, WSS)",
    "f_mean": "mean over 256 thresholds of the F curve averaged over images (avgF)",
    "f_max": "maximum over 256 thresholds of the F curve averaged over images (maxF)",
    "f_weighted": "weighted F-measure, beta2 = 1",
    "s_measure": "structure measure, alpha = 0.5",
    "e_mean": "mean over 256 thresholds of the enhanced-alignment curve averaged over images",
    "e_max": "maximum over 256 thresholds of the enhanced-alignment curve averaged over images",
    "e_adaptive": "enhanced-alignment measure of p >= min(2 mean, 1)",
}
"""The keys of a score, in order, with what each one is."""

CURVES = ("precision", "recall", "f", "e")


def score(prediction: NDArray, mask: NDArray[np.bool_], *, normalize: bool = False) -> dict[str, float]:
    """All measures of one image: the keys of `MEASURES`.

    `precision` and `recall` are those at the adaptive threshold min(2 mean, 1); `f_mean`, `f_max`, `e_mean` and `e_max`
    are over the curve of this one image.

    Parameters
    ----------
    prediction : (H, W) float in [0, 1], or uint8 (0..255 = [0, 1]), or bool
    mask : (H, W) bool
    normalize : stretch the prediction to its own minimum and maximum first, as A2S's code and PySODMetrics do

    Raises
    ------
    UsageError
        If an array has another dtype.
    UsodError
        If the shapes differ, or the prediction has values outside [0, 1] or not finite.
    """
    return _measure(as_unit(prediction, mask, normalize), mask)[0]


class Benchmark:
    """Measures averaged over the images of a data set, fed one by one.

    Memory: twelve numbers per image and one set of curves, whatever the images' sizes.

    Parameters
    ----------
    normalize : stretch every prediction to its own minimum and maximum first
    empty : "count" scores images whose mask is empty like all others (F = 0, but for `f_fixed`, where an empty
        prediction of an empty mask is right); "skip" leaves them out of `results` and `curves`
    """

    def __init__(self, normalize: bool = False, empty: Literal["count", "skip"] = "count"):
        if empty not in ("count", "skip"):
            raise UsageError(f"empty={empty!r}: use 'count' or 'skip'")
        self.normalize = normalize
        self.empty = empty
        self._rows: dict[str, dict[str, Any]] = {}
        self._curve_sum = np.zeros((len(CURVES), measures.LEVELS))

    @overload
    def step(self, key: str, prediction: NDArray, mask: NDArray[np.bool_], /) -> None: ...
    @overload
    def step(self, prediction: NDArray, mask: NDArray[np.bool_], /) -> None: ...
    def step(self, *image) -> None:
        """Score one image: `step(id, prediction, mask)`, or `step(prediction, mask)` to have it numbered.

        Arrays and errors as in `score`; an id that was scored before is a UsodError.
        """
        key, prediction, mask = image if len(image) == 3 else (str(len(self._rows)), *image)
        if key in self._rows:
            raise UsodError(f"image {key!r} is scored twice; give every image an id of its own")
        self.add(key, *self.measure(key, prediction, mask))

    def measure(
        self, key: str, prediction: NDArray, mask: NDArray[np.bool_]
    ) -> tuple[dict[str, float], NDArray[np.float64]]:
        """What `add` takes, without adding it: several threads may do so at once. Arrays and errors as in `score`."""
        try:
            row, curves = _measure(as_unit(prediction, mask, self.normalize), mask)
        except UsodError as error:
            raise type(error)(f"image {key!r}: {error}") from None
        return {**row, "empty_mask": not mask.any()}, curves

    def add(self, key: str, row: dict[str, float], curves: NDArray[np.float64]) -> None:
        """Add the measures of an image."""
        self._rows[key] = row
        if self.empty == "count" or not row["empty_mask"]:
            self._curve_sum += curves

    def __len__(self) -> int:
        """Images that count."""
        return len(self._rows) - self.skipped

    @property
    def skipped(self) -> int:
        """Images left out because their mask is empty."""
        return self.empty_masks if self.empty == "skip" else 0

    @property
    def empty_masks(self) -> int:
        """Images whose mask is empty."""
        return sum(row["empty_mask"] for row in self._rows.values())

    def results(self) -> dict[str, float]:
        """`n`, the number of images that count, and the keys of `MEASURES`.

        `precision` and `recall` are those at the adaptive threshold, averaged over images. `f_max` and `e_max` are the
        maxima of the curves averaged over images: less than the mean of every image's own maximum.
        """
        curves = self.curves()
        frame = self.per_image()
        if self.empty == "skip":
            frame = frame[~frame["empty_mask"]]
        means = {name: float(frame[name].mean()) for name in MEASURES}
        means["f_max"], means["e_max"] = float(curves["f"].max()), float(curves["e"].max())
        return {"n": len(self), **means}

    def per_image(self) -> pd.DataFrame:
        """One row per image: `id`, the keys of `MEASURES` for that image alone (as `score`), `empty_mask`."""
        rows = [{"id": key, **row} for key, row in self._rows.items()]
        return pd.DataFrame(rows, columns=["id", *MEASURES, "empty_mask"])

    def curves(self) -> dict[str, NDArray[np.float64]]:
        """Curves over the thresholds k/255, averaged over images: `thresholds, precision, recall, f, f_of_pr, e`.

        Every array is (256,) float64. `f` is the mean of the images' F curves (PySODMetrics); `f_of_pr` is the F of the
        averaged precision and recall, whose maximum older code reports as maxF.

        Raises
        ------
        UsodError
            If no image counts.
        """
        if not len(self):
            raise UsodError("no image was scored: there is nothing to average")
        mean = dict(zip(CURVES, self._curve_sum / len(self), strict=True))
        return {
            "thresholds": np.arange(measures.LEVELS) / (measures.LEVELS - 1),
            "precision": mean["precision"],
            "recall": mean["recall"],
            "f": mean["f"],
            "f_of_pr": measures.f_measure(mean["precision"], mean["recall"]),
            "e": mean["e"],
        }


def evaluate(
    predictions: Maps,
    masks: pd.DataFrame | Mapping[str, NDArray[np.bool_]],
    *,
    per_image_csv: str | Path | None = None,
    json_path: str | Path | None = None,
    under: Sequence[str] = (),
    empty: Literal["count", "skip"] = "count",
    left_out: int = 0,
    progress: Callable[[Sequence[str]], Iterable[str]] | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Score the maps of every mask and write the report files.

    A map of another size than its mask is resized to the mask, bilinearly.

    Parameters
    ----------
    predictions : maps by id, e.g. `usod.data.mapstore.open_maps(path)`; ids without a mask are ignored
    masks : the table of `usod.data.index.read_masks`, or any mapping of id to (H, W) bool
    per_image_csv : file for `Benchmark.per_image`
    json_path : file for the results, `labels` (`usod.human_labels`), `protocol` (in words), `protocols` and `curves`
    under : names of `usod.evaluation.protocols.PROTOCOLS`, under which the maps are scored besides
    empty : as for `Benchmark`, under all protocols
    left_out : images that are not in `masks` as theirs were learnt from (`corrections:`), for the file
    progress : wraps the list of ids, e.g. tqdm
    threads : images that are scored at once

    Returns
    -------
    `Benchmark.results()`, and `protocols`: name -> the `protocols.KEYS`, means over images

    Raises
    ------
    UsageError
        If `under` names no protocol.
    UsodError
        If predictions lack some of the ids, an image cannot be scored, or a file cannot be written.
    """
    tally = Tally(under, empty)
    lookup = MaskTable(masks) if isinstance(masks, pd.DataFrame) else masks
    ids = list(lookup)
    require_ids(predictions, ids)
    benchmark, resized = Benchmark(empty=empty), 0
    measured = threaded_map(partial(_measure_stored, benchmark, tally, lookup, predictions), ids, threads)
    for key, (scores, under_protocols, fitted) in zip(progress(ids) if progress else ids, measured, strict=True):
        benchmark.add(key, *scores)
        tally.add(under_protocols)
        resized += fitted
    results = benchmark.results() | {"protocols": tally.results()}
    if per_image_csv is not None:
        _write_rows(per_image_csv, benchmark.per_image())
    if json_path is not None:
        how = {"labels": getattr(predictions, "labels", "unknown"), "protocol": describe_protocol(benchmark, resized)}
        _write_summary(json_path, results | {"left_out": left_out} | how, benchmark.curves())
    return results


def _measure_stored(
    benchmark: Benchmark, tally: Tally, masks: Mapping[str, NDArray[np.bool_]], predictions: Maps, key: str
) -> tuple[Any, Any, bool]:
    """What `Benchmark.add` and `Tally.add` take of an image, and whether its map had another size than its mask."""
    above = masks.reader(key) if isinstance(masks, MaskTable) else lambda _: masks[key]
    mask, stored = above(None), predictions[key]
    prediction = resize_map(stored, mask.shape) if stored.shape != mask.shape else stored
    return benchmark.measure(key, prediction, mask), tally.measure(stored, above), prediction is not stored


def _write_summary(path: str | Path, results: dict[str, Any], curves: Mapping[str, NDArray[np.float64]]) -> None:
    rounded = {name: np.round(values, 6).tolist() for name, values in curves.items()}
    write_text(path, json.dumps(results | {"curves": rounded}, indent=1) + "\n")


def _write_rows(path: str | Path, rows: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        rows.to_csv(temporary, index=False, float_format="%.6f")


class MaskTable(Mapping[str, NDArray[np.bool_]]):
    """The masks of a `read_masks` table, id -> (H, W) bool, each read when it is asked for."""

    def __init__(self, table: pd.DataFrame):
        self._files = {
            row["id"]: (row["mask"], row["threshold"]) for row in table[["id", "mask", "threshold"]].to_dict("records")
        }

    def __getitem__(self, key: str) -> NDArray[np.bool_]:
        return load_mask(*self._files[key])

    def reader(self, key: str) -> Callable[[float | None], NDArray[np.bool_]]:
        """Share of the grey values' range -> the mask above it; None: as its table says. The file is read once."""
        file, threshold = self._files[key]
        graded = load_graded_mask(file)
        return lambda share: graded > (threshold if share is None else share)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def describe_protocol(benchmark: Benchmark, resized: int) -> dict[str, str]:
    """How the results of `benchmark` were made, in words, for whoever compares them with another table."""
    total = len(benchmark) + benchmark.skipped
    return {
        "size": f"the mask's own; {resized} of {total} maps were resized to it bilinearly",
        "normalisation": "per-image min-max" if benchmark.normalize else "none",
        "thresholds": "f_fixed: p > 0.5; f_adaptive, precision, recall, e_adaptive: p >= min(2 mean(p), 1); "
        "f_mean, f_max, e_mean, e_max and curves: p >= k/255, k = 0..255",
        "averaging": "per image, then over images; f_max and e_max are the maxima of the averaged curves",
        "beta2": f"{measures.BETA2}; f_weighted: 1",
        "empty_masks": f"{benchmark.empty_masks} of {total} masks, "
        + ("counted" if benchmark.empty == "count" else "left out"),
    }


def as_unit(prediction: NDArray, mask: NDArray[np.bool_], normalize: bool) -> NDArray[np.float64]:
    """Check one prediction against its mask and return it as float64 in [0, 1]; errors as in `score`."""
    if mask.dtype != bool:
        raise UsageError(f"the mask is {mask.dtype}, not bool: threshold it first, e.g. mask > 127")
    if mask.ndim != 2 or prediction.shape != mask.shape or not mask.size:
        raise UsodError(
            f"the prediction is {prediction.shape} and the mask {mask.shape}; both must be (H, W) of one size"
        )
    if prediction.dtype == np.uint8:
        unit = prediction / 255
    elif prediction.dtype == bool or prediction.dtype.kind == "f":
        unit = prediction.astype(np.float64)
    else:
        raise UsageError(f"the prediction is {prediction.dtype}: give float in [0, 1], uint8 or bool")
    low, high = float(unit.min()), float(unit.max())
    # Written so that NaN, for which every comparison is false, is refused too.
    if not (low >= 0 and high <= 1):
        raise UsodError(f"the prediction has values from {low:g} to {high:g}; saliency must be in [0, 1]")
    return (unit - low) / (high - low) if normalize and high > low else unit


def _measure(p: NDArray[np.float64], g: NDArray[np.bool_]) -> tuple[dict[str, float], NDArray[np.float64]]:
    """The measures of one image and its (4, 256) curves, in the order of `CURVES`."""
    wanted = int(np.count_nonzero(g))
    hits, predicted = measures.threshold_counts(p, g)
    curve_precision, curve_recall = measures.precision_recall_curve(hits, predicted, wanted)
    curve_f = measures.f_measure(curve_precision, curve_recall)
    curve_e = measures.e_measure(hits, predicted, wanted, g.size)
    precision, recall = measures.adaptive_precision_recall(p, g)
    row = {
        "mae": measures.mae(p, g),
        "precision": precision,
        "recall": recall,
        "f_fixed": measures.f_measure(*measures.fixed_precision_recall(p, g)),
        "f_adaptive": measures.f_measure(precision, recall),
        "f_mean": curve_f.mean(),
        "f_max": curve_f.max(),
        "f_weighted": measures.weighted_f_measure(p, g),
        "s_measure": measures.s_measure(p, g),
        "e_mean": curve_e.mean(),
        "e_max": curve_e.max(),
        "e_adaptive": measures.adaptive_e_measure(p, g),
    }
    curves = np.stack([curve_precision, curve_recall, curve_f, curve_e])
    return {name: float(value) for name, value in row.items()}, curves
