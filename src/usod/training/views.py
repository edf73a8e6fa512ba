"""What a network is shown of an image in a step: mirrored, enlarged or made smaller, cut and recoloured at random."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Augmentation(Protocol):
    """How much is changed: see `usod.systems.distil_settings.AugmentConfig`."""

    @property
    def scale(self) -> tuple[float, float]: ...
    @property
    def colour(self) -> float: ...


@dataclass(frozen=True)
class View:
    """What is shown of a batch; everything lies on the CPU until it is used.

    Attributes
    ----------
    mirrored : (B,) bool
    frame : (B, 3) side of the frame in sides of the image, and its centre x, y with the image's edges at -1 and 1;
        None: the images as they are
    colour : (B, 3) factors of brightness, contrast and saturation; None: the colours as they are
    size : side of what is shown, in pixels; None: that of the images
    """

    mirrored: Tensor
    frame: Tensor | None = None
    colour: Tensor | None = None
    size: int | None = None

    @classmethod
    def draw(
        cls,
        count: int,
        generator: torch.Generator,
        flip: bool = False,
        augment: Augmentation | None = None,
        size: int | None = None,
    ) -> "View":
        """A view of `count` images.

        A frame smaller than its image lies within it; a larger one contains it, and the image is continued by
        reflection. Its place is uniform among those that there are, and so is the magnification 1 / side.
        """
        mirrored = torch.zeros(count, dtype=torch.bool)
        if flip:
            mirrored = torch.rand(count, generator=generator) < 0.5
        if augment is None:
            return cls(mirrored, size=size)
        low, high = augment.scale
        side = 1 / (low + (high - low) * torch.rand(count, 1, generator=generator))
        centre = (2 * torch.rand(count, 2, generator=generator) - 1) * (1 - side).abs()
        colour = 1 + augment.colour * (2 * torch.rand(count, 3, generator=generator) - 1)
        return cls(mirrored, torch.cat([side, centre], 1), colour if augment.colour else None, size)

    def part(self, choose: Callable[[Tensor], Tensor]) -> "View":
        """The view of some of the images: `choose` (B, ...) -> (b, ...)."""
        frame = None if self.frame is None else choose(self.frame)
        colour = None if self.colour is None else choose(self.colour)
        return View(choose(self.mirrored), frame, colour, self.size)

    def of_images(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB as they are shown, `size` or H x W."""
        if self.frame is None and self.colour is None and self.size is None:
            return flip(pixels.movedim(-1, 1), self.mirrored).movedim(1, -1)
        seen = self.of_maps(pixels.movedim(-1, 1).float())
        if self.colour is not None:
            brightness, contrast, saturation = (
                factor.to(pixels.device, non_blocking=True)[:, None, None, None] for factor in self.colour.T
            )
            seen = seen * brightness
            seen = seen.mean((1, 2, 3), keepdim=True).lerp(seen, contrast)
            seen = seen.mean(1, keepdim=True).lerp(seen, saturation)
        return seen.round().clamp(0, 255).byte().movedim(1, -1)

    def of_maps(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) floats as they are shown: the same frame of each, `size` or H x W, colours untouched."""
        if self.size is not None and self.size != maps.shape[-1]:
            maps = functional.interpolate(maps, (self.size,) * 2, mode="bilinear", antialias=True)
        if self.frame is not None:
            side, centre = self.frame[:, :1], self.frame[:, 1:]
            corner = torch.zeros_like(side)
            rows = [torch.stack(row, -1) for row in ((side, corner, centre[:, :1]), (corner, side, centre[:, 1:]))]
            grid = functional.affine_grid(
                torch.cat(rows, 1).to(maps.device, non_blocking=True), list(maps.shape), align_corners=False
            )
            maps = functional.grid_sample(maps, grid.to(maps), padding_mode="reflection", align_corners=False)
        return flip(maps, self.mirrored)

    def unmirrored(self, shown: Tensor) -> Tensor:
        """(B, C, H, W) of what is shown, mirrored back."""
        return flip(shown, self.mirrored)


def flip(tensor: Tensor, rows: Tensor) -> Tensor:
    """(B, C, H, W) with those images mirrored whose entry in `rows` (B,) is true."""
    if not rows.any():
        return tensor
    chosen = rows.to(tensor.device, non_blocking=True)[:, None, None, None]
    return torch.where(chosen, tensor.flip(-1), tensor)
