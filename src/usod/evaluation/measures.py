"""The measures of salient object detection, each as its paper states it.

Every function takes one image: a prediction p, (H,W) float in [0,1], and a ground-truth mask g, (H,W) bool. Sums are
accumulated in float64. "F" is not one number: papers differ in the threshold and in what is averaged, so each variant
has its own function and name (`benchmark` averages them over a data set).

| measure      | paper                                                                                   |
|--------------|-----------------------------------------------------------------------------------------|
| MAE          | Perazzi et al., Saliency filters, CVPR 2012                                             |
| F (beta2=.3) | Achanta et al., Frequency-tuned salient region detection, CVPR 2009                     |
| weighted F   | Margolin et al., How to evaluate foreground maps, CVPR 2014                             |
| S-measure    | Fan et al., Structure-measure, ICCV 2017                                                |
| E-measure    | Fan et al., Enhanced-alignment measure, IJCAI 2018                                      |
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from usod.evaluation import loops

BETA2 = 0.3
"""The weight beta^2 of precision against recall that the field uses since Achanta et al."""

LEVELS = 256
"""Curves are sampled at the thresholds k/255, k = 0..255."""

EPS = float(np.spacing(1.0))

Map = NDArray[np.float64]
Mask = NDArray[np.bool_]


def mae(p: Map, g: Mask) -> float:
    """Mean absolute error, mean |p - g| in [0,1]; lower is better."""
    return float(loops.absolute_error(p, g) / g.size)


def f_measure(precision: ArrayLike, recall: ArrayLike, beta2: float = BETA2) -> NDArray[np.float64]:
    """F = (1 + beta2) P R / (beta2 P + R), elementwise; 0 where P = R = 0."""
    precision, recall = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    denominator = beta2 * precision + recall
    return (1 + beta2) * precision * recall / np.where(denominator == 0, 1, denominator)


def fixed_precision_recall(p: Map, g: Mask, threshold: float = 0.5) -> tuple[float, float]:
    """Precision and recall of p > threshold (strict), as DeepUSPS scores its maps.

    An empty prediction has precision 1 and an empty mask has recall 1, so that an empty prediction of an empty mask is
    right (F = 1), and every other pairing with an empty side has F = 0.
    """
    predicted = p > threshold
    hits, claimed, wanted = np.count_nonzero(predicted & g), np.count_nonzero(predicted), np.count_nonzero(g)
    return (hits / claimed if claimed else 1.0), (hits / wanted if wanted else 1.0)


def adaptive_threshold(p: Map, cap: float = 1.0) -> float:
    """min(2 mean(p), cap): twice the mean saliency of the image itself (Achanta et al. 2009)."""
    return min(2 * float(p.mean(dtype=np.float64)), cap)


def adaptive_precision_recall(p: Map, g: Mask, cap: float = 1.0) -> tuple[float, float]:
    """Precision and recall of p >= adaptive_threshold(p, cap); both 0 where nothing is hit, as for an empty mask."""
    predicted = p >= adaptive_threshold(p, cap)
    hits = np.count_nonzero(predicted & g)
    return (hits / np.count_nonzero(predicted), hits / np.count_nonzero(g)) if hits else (0.0, 0.0)


def threshold_counts(p: Map, g: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many pixels of the mask, and of the image, have p >= k/255, for k = 0..255.

    One joint histogram of floor(255 p) and g, summed from the top, instead of 256 binarisations.

    Returns
    -------
    true positives (256,) and predicted positives (256,), int64
    """
    levels = (p * (LEVELS - 1)).astype(np.uint8)
    background, foreground = loops.joint_histogram(levels, g)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return foreground, foreground + background


def precision_recall_curve(hits: NDArray, predicted: NDArray, wanted: int) -> tuple[NDArray, NDArray]:
    """Precision and recall at the 256 thresholds from `threshold_counts`; 0 where nothing is hit."""
    return hits / np.maximum(predicted, 1), hits / max(wanted, 1)


def e_measure(hits: ArrayLike, predicted: ArrayLike, wanted: int, size: int) -> NDArray[np.float64]:
    """Enhanced-alignment measure of binary predictions, from their counts alone (Fan et al. 2018).

    The bias matrices phi = x - mean(x) of a binary image take two values, so the alignment
    2 phi_g phi_p / (phi_g^2 + phi_p^2) has four, one for each cell of the confusion matrix; the enhanced alignment
    (1 + alignment)^2 / 4 is summed by counting pixels, and divided by size - 1 as in the authors' code. For an empty or
    a full mask the sum is the number of pixels predicted as the mask has them.

    Parameters
    ----------
    hits, predicted : true and predicted positives, numbers or arrays of one shape
    wanted : positives of the mask
    size : pixels of the image

    Returns
    -------
    the measure, of the shape of `hits`
    """
    hits, predicted = np.asarray(hits, np.float64), np.asarray(predicted, np.float64)
    if wanted == 0:
        total = size - predicted
    elif wanted == size:
        total = predicted
    else:
        mean_p, mean_g = predicted / size, wanted / size
        cells = (
            (hits, 1 - mean_p, 1 - mean_g),
            (predicted - hits, 1 - mean_p, -mean_g),
            (wanted - hits, -mean_p, 1 - mean_g),
            (size - predicted - wanted + hits, -mean_p, -mean_g),
        )
        total = sum((count * _enhanced(bias_p, bias_g) for count, bias_p, bias_g in cells), np.zeros_like(hits))
    return total / (size - 1 + EPS)


def _enhanced(bias_p: NDArray[np.float64], bias_g: float) -> NDArray[np.float64]:
    alignment = 2 * bias_p * bias_g / (bias_p**2 + bias_g**2 + EPS)
    return (1 + alignment) ** 2 / 4


def adaptive_e_measure(p: Map, g: Mask) -> float:
    """E-measure of p >= adaptive_threshold(p)."""
    predicted = p >= adaptive_threshold(p)
    hits, claimed, wanted = np.count_nonzero(predicted & g), np.count_nonzero(predicted), np.count_nonzero(g)
    return float(e_measure(hits, claimed, int(wanted), g.size))


def weighted_f_measure(p: Map, g: Mask, beta2: float = 1.0) -> float:
    """Weighted F-measure (Margolin et al. 2014); 0 for an empty mask.

    Errors inside the mask are smoothed over neighbouring pixels by a 7x7 Gaussian of sigma 5 (a missed pixel among hits
    costs less); false positives cost more the farther they lie from the object. As in the authors' code, outside the
    mask the smoothing sees the error of the nearest mask pixel, so that the background does not leak into the object.
    """
    if not g.any():
        return 0.0
    squared = loops.squared_distances(g)
    box = _around(g, loops.REACH)
    missed = 1 - p[box]
    smoothed = _gaussian_7x7(loops.spread_errors(missed, g[box], squared[box]))
    inside = np.minimum(missed, smoothed)[g[box]]

    hits = inside.size - inside.sum()
    recall = 1 - inside.mean()
    precision = hits / (hits + loops.false_alarms(p, squared) + EPS)
    return float((1 + beta2) * recall * precision / (recall + beta2 * precision + EPS))


def _around(g: Mask, margin: int) -> tuple[slice, slice]:
    """The bounding box of a mask that is not empty, wider by some pixels where the image goes on."""
    rows, columns = (np.flatnonzero(g.any(axis=others)) for others in (1, 0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def _gaussian_7x7(image: Map, sigma: float = 5.0) -> Map:
    """A normalised 7x7 Gaussian with zeros beyond the border; separable, so two passes of 7 taps."""
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    rows = ndimage.correlate1d(image, taps, axis=0, mode="constant")
    return ndimage.correlate1d(rows, taps, axis=1, mode="constant")


def s_measure(p: Map, g: Mask, alpha: float = 0.5) -> float:
    """Structure measure, alpha S_object + (1 - alpha) S_region, at least 0 (Fan et al. 2017).

    An empty mask scores 1 - mean(p), a full one mean(p).
    """
    share = float(g.mean())
    if share == 0:
        return 1 - float(p.mean())
    if share == 1:
        return float(p.mean())
    parts = [loops.moments(p[quadrant], g[quadrant]) for quadrant in _quadrants(g)]
    moments = [np.array(table) for table in zip(*parts, strict=True)]  # (4, 2) each
    outside, inside = (_mean_and_spread(*(table[:, i] for table in moments)) for i in (0, 1))
    objects = share * _similarity(*inside) + (1 - share) * _similarity(1 - outside[0], outside[1])
    regions = sum(part[0].sum() / g.size * _ssim(*part) for part in parts)
    return max(0.0, float(alpha * objects + (1 - alpha) * regions))


def _quadrants(g: Mask) -> list[tuple[slice, slice]]:
    """The four quadrants around the mask's centroid."""
    halves = []
    for others in (1, 0):
        along = np.count_nonzero(g, axis=others)
        # The authors' MATLAB slices 1:c include the centroid's own row and column, hence the + 1.
        middle = int((along @ np.arange(len(along)) / along.sum()).round()) + 1
        halves.append((slice(0, middle), slice(middle, None)))
    return [(rows, columns) for rows in halves[0] for columns in halves[1]]


def _mean_and_spread(counts: NDArray, means: NDArray, deviations: NDArray) -> tuple[float, float]:
    """Mean and standard deviation (of n - 1) of parts taken together, from theirs."""
    total = counts.sum()
    mean = (counts * means).sum() / total
    squares = (deviations + counts * (means - mean) ** 2).sum()
    return mean, float(np.sqrt(squares / (total - 1))) if total > 1 else 0.0


def _similarity(mean: float, spread: float) -> float:
    """2 m / (m^2 + 1 + s) of the predictions on the object (2 lambda = 1, as in the authors' code)."""
    return 2 * mean / (mean**2 + 1 + spread + EPS)


def _ssim(counts: NDArray, means: NDArray, deviations: NDArray) -> float:
    """4 x y s_xy / ((x^2 + y^2)(s_x + s_y)) of a quadrant, from the moments of p outside and inside the mask.

    1 if numerator and denominator are 0, 0 if only the first, or if the centroid leaves the quadrant no pixel.
    """
    total = counts.sum()
    if not total:
        return 0.0
    x, y = (counts * means).sum() / total, counts[1] / total
    # The mask is 0 or 1: its own deviations, and those with p, are what lies between the two groups of pixels.
    between, freedom = counts[0] * counts[1] / total, total - 1 + EPS
    step = means[1] - means[0]
    variances = (deviations.sum() + between * step**2 + between) / freedom
    numerator = 4 * x * y * between * step / freedom
    denominator = (x**2 + y**2) * variances
    if numerator == 0:
        return 1.0 if denominator == 0 else 0.0
    return float(numerator / (denominator + EPS))
