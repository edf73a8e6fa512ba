"""The last convolution of a head, in single precision."""

import torch
from torch import Tensor, nn


class ToLogit(nn.Conv2d):
    """A convolution to one logit per cell that computes in float32 under autocast, too.

    bf16 has 8 bits: a logit near 4 would be rounded to steps of 1/32, and what is enlarged from it would show them.
    """

    def __init__(self, channels: int, kernel: int = 1, bias: bool = True) -> None:
        super().__init__(channels, 1, kernel, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 1, h, w) float32 (or float64, of such features)."""
        kind = x.device.type
        # Asked, so that an exported graph has no autocast in it; the meta device knows none.
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return super().forward(x)
        with torch.autocast(kind, enabled=False):
            return super().forward(x.float())
