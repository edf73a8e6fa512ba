"""Scoring protocols: how the tables of the field were measured. Numbers of two protocols must not be compared.

On the same maps they differ by more than most papers claim to improve: FOUND's maximum F on ECSSD is .955 under its own
protocol and .896 under the usual beta^2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from usod.data.images import resize_map
from usod.errors import UsageError
from usod.evaluation import measures
from usod.evaluation.measures import Map, Mask

KEYS = {
    "f": "F-measure",
    "mae": "mean absolute error",
    "e": "enhanced-alignment measure of the same binary map as F; of p > 0.5 where F is a maximum",
    "iou": "intersection over union of p > 0.5; 1 where map and mask are empty",
    "accuracy": "share of the pixels on which p > 0.5 is right",
}
"""What is measured under every protocol, each the mean over images."""


@dataclass(frozen=True)
class Protocol:
    """How maps are scored.

    Attributes
    ----------
    reads : what it is and whose, for the reader of a table
    f : which F of an image: of p > 0.5, of p >= min(2 mean, cap), or the maximum over the thresholds k/255
    size : side to which maps are brought bilinearly and masks by nearest neighbour; None: maps to their mask's size
    stretched : every map is stretched to 0..1 first, for all measures
    beta2 : weight beta^2 of precision against recall
    cap : largest adaptive threshold
    mask_above : grey masks are salient above this share of their range; None: as the data set's settings say
    """

    reads: str
    f: Literal["fixed", "adaptive", "maximum"]
    size: int | None = None
    stretched: bool = False
    beta2: float = measures.BETA2
    cap: float = 1.0
    mask_above: float | None = 0.5

    def prepare(self, prediction: Map, mask: Mask) -> tuple[Map, Mask]:
        """Map (h, w) and mask (H, W) of one image as they are compared, of one size; values of the map in [0, 1]."""
        shape = mask.shape if self.size is None else (self.size, self.size)
        if prediction.shape != shape:
            prediction = resize_map(prediction, shape).astype(np.float64)
        mask = resize_nearest(mask, shape)
        low, high = float(prediction.min()), float(prediction.max())
        if self.stretched and high > low:
            prediction = (prediction - low) / (high - low)
        return prediction, mask

    def measure(self, p: Map, g: Mask) -> dict[str, float]:
        """The `KEYS` of one image that `prepare` gave."""
        half = p > 0.5
        binary = p >= measures.adaptive_threshold(p, self.cap) if self.f == "adaptive" else half
        both, either = np.count_nonzero(half & g), np.count_nonzero(half | g)
        hits, claimed, wanted = (int(np.count_nonzero(each)) for each in (binary & g, binary, g))
        return {
            "f": self._f(p, g),
            "mae": measures.mae(p, g),
            "e": float(measures.e_measure(hits, claimed, wanted, g.size)),
            "iou": both / either if either else 1.0,
            "accuracy": float((half == g).mean()),
        }

    def _f(self, p: Map, g: Mask) -> float:
        if self.f == "maximum":
            curve = measures.precision_recall_curve(*measures.threshold_counts(p, g), int(np.count_nonzero(g)))
            return float(measures.f_measure(*curve, self.beta2).max())
        if self.f == "fixed":
            found = measures.fixed_precision_recall(p, g)
        else:
            found = measures.adaptive_precision_recall(p, g, self.cap)
        return float(measures.f_measure(*found, self.beta2))


PROTOCOLS = {
    "own": Protocol(
        "usod: at the mask's size, nothing stretched, F at twice the mean of the map", "adaptive", mask_above=None
    ),
    "deepusps": Protocol("DeepUSPS's code: maps and masks at 432 x 432, F of p > 0.5", "fixed", size=432),
    "a2s": Protocol(
        "the code of A2S, A2S-v2 and A2S-v3: at the mask's size, each map stretched to 0..1, F at twice its mean",
        "adaptive",
        stretched=True,
    ),
    "ldps": Protocol(
        "LDPS's code: as A2S's, but a mask's every pixel above 0 is salient, and the threshold at most .999",
        "adaptive",
        stretched=True,
        cap=0.999,
        mask_above=0.0,
    ),
    "wss": Protocol(
        "WSS, which does not say: its quoted rows are those of F at twice the mean at the mask's size", "adaptive"
    ),
    "selfmask": Protocol(
        "SelfMask, FOUND, Peekaboo and Selfment: at the mask's size, beta^2 = .09 (.3 squared again), the mean of the "
        "images' largest F over all thresholds",
        "maximum",
        beta2=0.09,
    ),
    "csnet": Protocol("CSNet's code: at the mask's size, F of p > 0.5", "fixed"),
}
"""Name -> protocol. The MAE of `own`, `wss`, `selfmask` and `csnet` is the same where masks are black and white."""


class Tally:
    """The scores of a data set's images under some protocols, fed one by one.

    Parameters
    ----------
    names : keys of `PROTOCOLS`
    empty : "count", or "skip" to leave out images whose mask is empty

    Raises
    ------
    UsageError
        If a name is no protocol's.
    """

    def __init__(self, names: Sequence[str], empty: Literal["count", "skip"] = "count") -> None:
        for name in names:
            if name not in PROTOCOLS:
                raise UsageError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
        self.empty = empty
        self.rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}

    def step(self, prediction: NDArray, mask_above: Callable[[float | None], Mask]) -> None:
        """Score one image: `measure` and `add`."""
        self.add(self.measure(prediction, mask_above))

    def measure(self, prediction: NDArray, mask_above: Callable[[float | None], Mask]) -> dict[str, dict[str, float]]:
        """Protocol -> `KEYS` of one image, without those that its empty mask leaves it out of; for several threads.

        Parameters
        ----------
        prediction : (h, w), uint8 (0..255 = [0, 1]) or in [0, 1]
        mask_above : gives the mask above a share of grey (`Protocol.mask_above`)
        """
        unit = prediction / 255 if prediction.dtype == np.uint8 else prediction.astype(np.float64)
        masks = {share: mask_above(share) for share in {PROTOCOLS[name].mask_above for name in self.rows}}
        found = {}
        for name in self.rows:
            protocol = PROTOCOLS[name]
            mask = masks[protocol.mask_above]
            if mask.any() or self.empty == "count":
                found[name] = protocol.measure(*protocol.prepare(unit, mask))
        return found

    def add(self, scores: dict[str, dict[str, float]]) -> None:
        """Add what `measure` gave of an image."""
        for name, row in scores.items():
            self.rows[name].append(row)

    def results(self) -> dict[str, dict[str, float]]:
        """Protocol -> the `KEYS`, means over images."""
        return {
            name: {key: float(np.mean([row[key] for row in rows])) for key in KEYS} for name, rows in self.rows.items()
        }


def resize_nearest(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool -> `shape`: every pixel takes the value of the pixel that its centre lies in."""
    if mask.shape == shape:
        return mask
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]
