"""A batch at another size beside its own: what a map is should not depend on it (A2S-v2, A2S-v3)."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from usod.models.ram import resize
from usod.training.views import View

SMALLEST = 32
"""Side in pixels below which no network can be given an image."""


class Seen(NamedTuple):
    """Logits (B, H, W) that a network makes of images at one size, and what it was given: (B, 3, H, W) normalised."""

    logits: Tensor
    image: Tensor

    @property
    def map(self) -> Tensor:
        """(B, H, W) in [0, 1]."""
        return self.logits.sigmoid()


def at_scale(image: Tensor, scale: float) -> Tensor:
    """(B, C, H, W) images bilinearly at `scale` times their size, whole pixels and not below 32."""
    return resize(image, [max(round(side * scale), SMALLEST) for side in image.shape[-2:]])


def passes(
    forward: Callable[..., Any], image: Tensor, scales: Sequence[float], named: dict[str, Tensor]
) -> list[tuple[Any, Tensor]]:
    """What a network makes of a batch at its own size, and at one of `scales` if there are any; with its images.

    What else is `named` for the network, such as features, belongs to the images' own size.
    """
    found = [(forward(image, **named), image)]
    if scales:
        other = at_scale(image, random.choice(scales))  # which every epoch seeds, in all processes alike
        found.append((forward(other), other))
    return found


def as_seen(logits: Any, view: View) -> Any:
    """What `passes` gives, logits (B, 1, H, W) and images, some mirrored -> a list of `Seen`, images as they are."""
    return [Seen(view.unmirrored(made.float())[:, 0], view.unmirrored(image)) for made, image in logits]


def disagreement(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of maps, the first brought to the second's size: (B,) of (B, H, W) and (B, h, w)."""
    return ((resize(first[:, None], second.shape[-2:])[:, 0] - second) ** 2).mean((-2, -1))
