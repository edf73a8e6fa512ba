"""Historical moving average of predictions (DeepUSPS, section 3.1)."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from usod.training.objective import OnePass
from usod.training.placement import fetch, place, put

if TYPE_CHECKING:
    from usod.crf import DenseCRF


class MovingAverage:
    """One exponential moving average per image: MVA_k = alpha MVA_{k-1} + (1 - alpha) prediction_k, MVA_0 = 0.

    A2S's online label rectifying is the same with the labels for a start, left as they are at first.

    Parameters
    ----------
    count : number of images
    size : (H, W) of the maps
    alpha : weight of the past, in [0, 1]; below 1 with `bias_correction`
    bias_correction : divide by 1 - alpha^k on reading, k being the number of updates of that image, so that the
        zero start does not darken the average of a short run
    device : where the predictions come from; the averages are kept there if they fit, 2 bytes a pixel
    start : (count, H, W) uint8, MVA_0
    untouched : updates of an image that only count
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        alpha: float = 0.7,
        bias_correction: bool = True,
        device: torch.device | str = "cpu",
        start: np.ndarray | None = None,
        untouched: int = 0,
    ):
        self.device = torch.device(device)
        # Half precision resolves 0.0005 in [0.5, 1]: finer than the 8 bits that are stored in the end.
        zero = torch.zeros(count, *size, dtype=torch.float16)
        self.average = place(zero if start is None else torch.from_numpy(start).half() / 255, self.device)
        self.updates = torch.zeros(count, dtype=torch.int32)
        self.alpha = alpha
        self.bias_correction = bias_correction
        self.untouched = untouched

    def touches(self, rows: Tensor) -> bool:
        """Whether the next update changes all of these images."""
        return int(self.updates[rows].min()) >= self.untouched

    def update(self, rows: Tensor, prediction: Tensor) -> None:
        """Add predictions (B, H, W) in [0, 1] of the images `rows` (B,) on the CPU, each at most once per call."""
        past = self[rows].float()
        now = prediction.to(past)
        keep = torch.where(self.updates[rows] >= self.untouched, self.alpha, 1.0)[:, None, None]
        keep = keep.to(past.device, non_blocking=True)
        updated = (keep * past + (1 - keep) * now).half()
        put(self.average, rows, updated)
        self.updates[rows] += 1

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(B, H, W) float16 on the device, for `rows` (B,) on the CPU, without the bias correction."""
        return fetch(self.average, rows, self.device)

    def read(self, rows: Tensor | slice) -> Tensor:
        """(B, H, W) float32 in [0, 1], on the CPU; images never updated read as zero."""
        where = rows.to(self.average.device) if isinstance(rows, Tensor) else rows
        value = self.average[where].float().cpu()
        if self.bias_correction:
            weight = 1 - self.alpha ** self.updates[rows].float()
            value = value / weight.clamp(min=1e-12)[:, None, None]
        return value.clamp(0, 1)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.copy_(state["average"])
        self.updates.copy_(state["updates"])


class Averaging(OnePass):
    """What an objective has that averages its predictions, perhaps after a CRF; `loss` is its own."""

    def __init__(self, average: MovingAverage, crf: "DenseCRF | None" = None):
        self.average = average
        self.crf = crf

    @property
    def group(self) -> int:  # type: ignore[override]
        """As many as the CRF refines together: the averages are not read before the epoch ends."""
        return self.crf.group if self.crf is not None else 0

    def observe(self, probability: Tensor, rows: Tensor) -> Tensor:
        """CRF(y(x)), where it is wanted and the average does not stay as it is."""
        return (
            self.crf.refine(probability, rows) if self.crf is not None and self.average.touches(rows) else probability
        )

    def remember(self, observed: Tensor, rows: Tensor) -> None:
        self.average.update(rows, observed)

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)
