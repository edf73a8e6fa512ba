"""Artificial frames: the plain margins that some photographs carry, which break the prior that borders are background.

The rule is that of the RBD authors' code (Zhu et al., CVPR 2014): a straight line of edge pixels along the border.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d


class Frame(NamedTuple):
    """Width in pixels of an artificial frame on each side; all 0 where there is none."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def crop(self, image: NDArray) -> NDArray:
        """The (H, W, ...) image without the frame, as a view."""
        height, width = image.shape[:2]
        return image[self.top : height - self.bottom, self.left : width - self.right]

    def restore(self, inner: NDArray) -> NDArray:
        """The inverse of `crop` for a map: the frame comes back as zeros."""
        return np.pad(inner, ((self.top, self.bottom), (self.left, self.right)))


def find_frame(image: NDArray[np.uint8], max_width: int = 30, min_density: float = 0.6) -> Frame:
    """Width of the artificial frame around an image.

    A row or column at most `max_width` pixels from its side ends a frame if more than `min_density` of its pixels are
    Sobel edges; the innermost such line counts. If any side has a frame, sides without one get the largest width.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    max_width : widest frame in pixels; never more than a quarter of the side
    min_density : share of edge pixels in a frame line, 0..1
    """
    edges = sobel_edges(image @ np.array([0.299, 0.587, 0.114]))
    height, width = edges.shape
    rows, cols = edges.mean(axis=1) > min_density, edges.mean(axis=0) > min_density
    deepest_row, deepest_col = min(max_width, height // 4), min(max_width, width // 4)
    widths = [
        _innermost(rows[:deepest_row]),
        _innermost(rows[::-1][:deepest_row]),
        _innermost(cols[:deepest_col]),
        _innermost(cols[::-1][:deepest_col]),
    ]
    limits = [deepest_row, deepest_row, deepest_col, deepest_col]
    return Frame(*(w or min(max(widths), limit) for w, limit in zip(widths, limits, strict=True)))


def _innermost(is_line: NDArray[np.bool_]) -> int:
    found = np.flatnonzero(is_line)
    return int(found[-1]) + 1 if found.size else 0


def sobel_edges(gray: NDArray) -> NDArray[np.bool_]:
    """Thinned Sobel edges: (H, W) grey values -> (H, W) bool.

    A pixel is an edge if its squared gradient exceeds four times the image's mean and is a maximum across the edge.
    """
    gray = np.asarray(gray, dtype=np.float64)
    smooth, slope = np.array([1.0, 2.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    across = correlate1d(correlate1d(gray, smooth, axis=0, mode="nearest"), slope, axis=1, mode="nearest")
    down = correlate1d(correlate1d(gray, smooth, axis=1, mode="nearest"), slope, axis=0, mode="nearest")
    strength = across**2 + down**2
    padded = np.pad(strength, 1, mode="edge")
    left, right, above, below = padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]
    # `<=` on one side and `>` on the other keeps exactly one pixel of a two-pixel plateau.
    vertical = (np.abs(across) >= np.abs(down)) & (left <= strength) & (strength > right)
    horizontal = (np.abs(down) >= np.abs(across)) & (above <= strength) & (strength > below)
    return (strength > 4.0 * strength.mean()) & (vertical | horizontal)
