"""Historical moving average of predictions (DeepUSPS, section 3.1)."""

from typing import Any

import torch
from torch import Tensor

from usod.training.placement import fetch, place


class MovingAverage:
    """One exponential moving average per image: MVA_k = alpha MVA_{k-1} + (1 - alpha) prediction_k, MVA_0 = 0.

    Parameters
    ----------
    count : number of images
    size : (H, W) of the maps
    alpha : weight of the past, in [0, 1)
    bias_correction : divide by 1 - alpha^k on reading, k being the number of updates of that image, so that the
        zero start does not darken the average of a short run
    device : where the predictions come from; the averages are kept there if they fit, 2 bytes a pixel
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        alpha: float = 0.7,
        bias_correction: bool = True,
        device: torch.device | str = "cpu",
    ):
        self.device = torch.device(device)
        # Half precision resolves 0.0005 in [0.5, 1]: finer than the 8 bits that are stored in the end.
        self.average = place(torch.zeros(count, *size, dtype=torch.float16), self.device)
        self.updates = torch.zeros(count, dtype=torch.int32)
        self.alpha = alpha
        self.bias_correction = bias_correction

    def update(self, rows: Tensor, prediction: Tensor) -> None:
        """Add predictions (B, H, W) in [0, 1] of the images `rows` (B,) on the CPU, each at most once per call."""
        past = fetch(self.average, rows, self.device).float()
        now = prediction.to(past)
        updated = (self.alpha * past + (1 - self.alpha) * now).half()
        where = self.average.device
        self.average.index_copy_(0, rows.to(where, non_blocking=True), updated.to(where))
        self.updates[rows] += 1

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
