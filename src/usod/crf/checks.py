"""What both CRFs ask of images and maps; without PyTorch, as one of them runs in workers that need none."""

from collections.abc import Sequence
from typing import Any


def check_images(images: Any, axes: Sequence[int], shape: str) -> None:
    """Raise ValueError unless an array or a tensor is (..., H, W, 3) uint8 with pixels.

    Parameters
    ----------
    axes : how many axes it may have
    shape : the shapes that it may have, in words
    """
    if images.ndim not in axes or images.shape[-1] != 3 or 0 in images.shape[-3:]:
        raise ValueError(f"images must have shape {shape}, got {tuple(images.shape)}")
    if str(images.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"images must be uint8, got {images.dtype}")


def check_probabilities(values: Any, look: bool = True) -> None:
    """Raise ValueError unless an array or a tensor holds floats, in [0, 1] where it is to be looked at."""
    if "float" not in str(values.dtype):
        raise ValueError(f"probabilities must be float32, got {values.dtype}")
    # Written so that NaN fails too.
    if look and 0 not in values.shape and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("probabilities must lie in [0, 1] and hold no NaN")
