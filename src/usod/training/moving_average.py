"""Historical moving average of predictions (DeepUSPS, section 3.1)."""

from typing import Any

import torch
from torch import Tensor


class MovingAverage:
    """One exponential moving average per image: MVA_k = alpha MVA_{k-1} + (1 - alpha) prediction_k, MVA_0 = 0.

    Parameters
    ----------
    count : number of images
    size : (H, W) of the maps
    alpha : weight of the past, in [0, 1)
    bias_correction : divide by 1 - alpha^k on reading, k being the number of updates of that image, so that the
        zero start does not darken the average of a short run
    """

    def __init__(self, count: int, size: tuple[int, int], alpha: float = 0.7, bias_correction: bool = True):
        # Half precision resolves 0.0005 in [0.5, 1]: finer than the 8 bits that are stored in the end.
        self.average = torch.zeros(count, *size, dtype=torch.float16)
        self.updates = torch.zeros(count, dtype=torch.int32)
        self.alpha = alpha
        self.bias_correction = bias_correction

    def update(self, rows: Tensor, prediction: Tensor) -> None:
        """Add predictions (B, H, W) in [0, 1] of the images `rows` (B,), each at most once per call."""
        past = self.average[rows].float()
        now = prediction.to(past)
        self.average[rows] = (self.alpha * past + (1 - self.alpha) * now).half()
        self.updates[rows] += 1

    def read(self, rows: Tensor | slice) -> Tensor:
        """(B, H, W) float32 in [0, 1]; images never updated read as zero."""
        value = self.average[rows].float()
        if self.bias_correction:
            weight = 1 - self.alpha ** self.updates[rows].float()
            value = value / weight.clamp(min=1e-12)[:, None, None]
        return value.clamp(0, 1)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.copy_(state["average"])
        self.updates.copy_(state["updates"])
