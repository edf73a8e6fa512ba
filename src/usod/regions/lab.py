"""Colours in CIE L*a*b*, by the curves that the detectors' authors use."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Curve = Literal["srgb", "srgb-2.2", "rec709"]

# D65 tristimulus values and the sRGB matrix, as printed in IEC 61966-2-1.
_WHITE = np.array([0.9505, 1.0, 1.089])
_XYZ_FROM_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_FROM_LINEAR = _XYZ_FROM_RGB / _WHITE[:, None]
# Cube roots of the middles of equal steps of 0..1: where two steps of Halley's method begin.
_STEPS = 4096
_ROOTS = np.cbrt((np.arange(_STEPS + 1) + 0.5) / _STEPS)


def rgb_to_lab(rgb: NDArray, curve: Curve = "srgb") -> NDArray[np.float64]:
    """CIE L*a*b* (D65) of RGB colours.

    Parameters
    ----------
    rgb : (..., 3); uint8 in 0..255, or float in 0..1
    curve : how values relate to light: "srgb" (IEC 61966-2-1, exponent 2.4), "srgb-2.2" (the same with exponent 2.2) or
        "rec709" (ITU-R BT.709)

    Returns
    -------
    (..., 3) float64: L in 0..100, a and b about -128..127
    """
    if rgb.dtype == np.uint8:
        return linear_to_lab(np.take(_light(curve), rgb))
    return linear_to_lab(_LINEAR[curve](np.asarray(rgb, dtype=np.float64)))


def linear_to_lab(linear: NDArray[np.float64], matrix: NDArray[np.float64] = _FROM_LINEAR) -> NDArray[np.float64]:
    """CIE L*a*b* of RGB in units of light, (..., 3) float64 about 0..1; `matrix` makes XYZ, in units of the white's."""
    lab = np.empty(linear.shape)
    _to_lab(linear.reshape(-1, 3), matrix, _ROOTS, lab.reshape(-1, 3).T)
    return lab


def lab_planes(image: NDArray[np.uint8], curve: Curve = "srgb") -> NDArray[np.float32]:
    """The same of an (H, W, 3) uint8 image as three planes, (3, H, W) float32."""
    planes = np.empty((3, *image.shape[:2]), np.float32)
    _to_lab(np.take(_light(curve), image.reshape(-1, 3)), _FROM_LINEAR, _ROOTS, planes.reshape(3, -1))
    return planes


def _light(curve: Curve) -> NDArray[np.float64]:
    return _LINEAR[curve](np.arange(256) / 255.0)


def _linear_from_srgb(rgb: NDArray[np.float64], gamma: float = 2.4) -> NDArray[np.float64]:
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** gamma, rgb / 12.92)


def _linear_from_rec709(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    # BT.709's slope of 4.5 with the further digits that make the two pieces meet, as in the authors' converters.
    return np.where(rgb > 0.018 * 4.5138, ((rgb + 0.099) / 1.099) ** (1.0 / 0.45), rgb / 4.5138)


_LINEAR: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "srgb": _linear_from_srgb,
    "srgb-2.2": partial(_linear_from_srgb, gamma=2.2),
    "rec709": _linear_from_rec709,
}


@njit(cache=True, error_model="numpy")
def _compressed(t, roots):  # type: ignore[no-untyped-def]
    """CIE's f: the cube root, by two steps of Halley's method, exact to the last digits; a line near black."""
    if t <= 0.008856:
        return 7.787 * t + 16.0 / 116.0
    if not t <= 1.0:  # MC gives 0..255; NaN has no place in the table
        return np.cbrt(t)
    root = roots[int(t * (len(roots) - 1))]
    for _ in range(2):
        cube = root * root * root
        root *= (cube + 2.0 * t) / (2.0 * cube + t)
    return root


@njit(cache=True, error_model="numpy")
def _to_lab(linear, matrix, roots, lab):  # type: ignore[no-untyped-def]
    """Fill `lab`, (3, n) of any float type, from (n, 3) linear RGB; `matrix` gives XYZ in units of the white's."""
    for i in range(len(linear)):
        red, green, blue = linear[i, 0], linear[i, 1], linear[i, 2]
        x = _compressed(matrix[0, 0] * red + matrix[0, 1] * green + matrix[0, 2] * blue, roots)
        y = _compressed(matrix[1, 0] * red + matrix[1, 1] * green + matrix[1, 2] * blue, roots)
        z = _compressed(matrix[2, 0] * red + matrix[2, 1] * green + matrix[2, 2] * blue, roots)
        lab[0, i] = 116.0 * y - 16.0
        lab[1, i] = 500.0 * (x - y)
        lab[2, i] = 200.0 * (y - z)
