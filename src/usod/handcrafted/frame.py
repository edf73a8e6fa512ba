"""Artificial frames: the plain margins that some photographs carry, which break the prior that borders are background.

The rule is that of the RBD authors' code (Zhu et al., CVPR 2014): a straight line of edge pixels along the border.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
    edges = sobel_edges(_grey(np.ascontiguousarray(image)))
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
    across, down = _gradients(np.pad(np.asarray(gray, dtype=np.float64), 1, mode="edge"))
    strength = across * across + down * down
    return _thinned(across, down, strength, 4.0 * strength.mean())


@njit(cache=True)
def _grey(image):  # type: ignore[no-untyped-def]
    """Luma of an (H, W, 3) image, (H, W) float64."""
    height, width, _ = image.shape
    grey = np.empty((height, width))
    for r in range(height):
        for c in range(width):
            grey[r, c] = 0.299 * image[r, c, 0] + 0.587 * image[r, c, 1] + 0.114 * image[r, c, 2]
    return grey


@njit(cache=True)
def _gradients(padded):  # type: ignore[no-untyped-def]
    """Sobel's two derivatives of a map with a rim of one pixel: across and down, (H, W) each."""
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    across, down = np.empty((height, width)), np.empty((height, width))
    for r in range(height):
        above, here, below = padded[r], padded[r + 1], padded[r + 2]
        for c in range(width):
            right = 2.0 * here[c + 2] + (above[c + 2] + below[c + 2])
            left = 2.0 * here[c] + (above[c] + below[c])
            across[r, c] = right - left
            lower = 2.0 * below[c + 1] + (below[c] + below[c + 2])
            upper = 2.0 * above[c + 1] + (above[c] + above[c + 2])
            down[r, c] = lower - upper
    return across, down


@njit(cache=True)
def _thinned(across, down, strength, least):  # type: ignore[no-untyped-def]
    height, width = across.shape
    edges = np.zeros((height, width), np.bool_)
    for r in range(height):
        for c in range(width):
            here = strength[r, c]
            if here <= least:
                continue
            left, right = strength[r, max(c - 1, 0)], strength[r, min(c + 1, width - 1)]
            above, below = strength[max(r - 1, 0), c], strength[min(r + 1, height - 1), c]
            steep, flat = abs(across[r, c]), abs(down[r, c])
            # `<=` on one side and `>` on the other keeps exactly one pixel of a two-pixel plateau.
            edges[r, c] = (steep >= flat and left <= here > right) or (flat >= steep and above <= here > below)
    return edges
