"""Colours in CIE L*a*b*, by the curves that the detectors' authors use, and in CIE L*u*v*."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from skimage.color import xyz_tristimulus_values
from skimage.color.colorconv import xyz_from_rgb

Curve = Literal["srgb", "srgb-2.2", "rec709", "none"]

# D65 tristimulus values and the sRGB matrix, as printed in IEC 61966-2-1.
_WHITE = np.array([0.9505, 1.0, 1.089])
_XYZ_FROM_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_FROM_LINEAR = _XYZ_FROM_RGB / _WHITE[:, None]
# The same with more digits, as MATLAB and scikit-image have them.
_FINE_WHITE = xyz_tristimulus_values(illuminant="D65", observer="2")
FINE_FROM_LINEAR: NDArray[np.float64] = xyz_from_rgb / _FINE_WHITE[:, None]
# Cube roots of the middles of equal steps of 0..1: where two steps of Halley's method begin.
_STEPS = 4096
_ROOTS = np.cbrt((np.arange(_STEPS + 1) + 0.5) / _STEPS)
_DARK = 0.008856  # CIE's lightness is a line below it, a cube root above
_PIECE = 512  # pixels in a piece: what is computed on the way stays in the nearest cache


def rgb_to_lab(rgb: NDArray[np.floating], curve: Curve = "srgb") -> NDArray[np.float64]:
    """CIE L*a*b* (D65) of a few RGB colours; `lab_planes` is for images.

    Parameters
    ----------
    rgb : (..., 3) in 0..1
    curve : how values relate to light: "srgb" (IEC 61966-2-1, exponent 2.4), "srgb-2.2" (the same with exponent 2.2),
        "rec709" (ITU-R BT.709) or "none" (they are light)

    Returns
    -------
    (..., 3) float64: L in 0..100, a and b about -128..127
    """
    xyz = _LINEAR[curve](np.asarray(rgb, dtype=np.float64)) @ _FROM_LINEAR.T
    x, y, z = np.moveaxis(np.where(xyz > _DARK, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0), -1, 0)
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def lab_planes(
    image: NDArray[np.uint8], curve: Curve = "srgb", matrix: NDArray[np.float64] = _FROM_LINEAR
) -> NDArray[np.float64]:
    """The same of an (H, W, 3) uint8 image, as three planes: (3, H, W) float64.

    `matrix` makes XYZ of light, in units of the white's; in `FINE_FROM_LINEAR` it has more digits.
    """
    planes = np.empty((3, *image.shape[:2]))
    _to_lab(np.ascontiguousarray(image).reshape(-1, 3), _light(curve), matrix, _ROOTS, planes.reshape(3, -1))
    return planes


def luv_planes(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L*u*v* (D65) of an (H, W, 3) uint8 sRGB image, as three planes: (3, H, W) float64, L in 0..100."""
    planes = np.empty((3, *image.shape[:2]))
    white = np.array([4.0, 9.0]) * _FINE_WHITE[:2] / (_FINE_WHITE @ [1.0, 15.0, 3.0])
    pixels = np.ascontiguousarray(image).reshape(-1, 3)
    _to_luv(pixels, _light("srgb"), np.ascontiguousarray(xyz_from_rgb), _ROOTS, white, planes.reshape(3, -1))
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
    "none": lambda rgb: rgb,
}


@njit(cache=True)
def _look_up(image, light, matrix, roots, xyz, root):  # type: ignore[no-untyped-def]
    """Fill, (3, n) each, XYZ of (n, 3) uint8 colours and what is near to its cube roots."""
    for i in range(len(image)):
        red, green, blue = light[image[i, 0]], light[image[i, 1]], light[image[i, 2]]
        for k in range(3):
            t = xyz[k, i] = matrix[k, 0] * red + matrix[k, 1] * green + matrix[k, 2] * blue
            root[k, i] = roots[np.uint16(min(t, 1.0) * _STEPS)]


@njit(cache=True, error_model="numpy")
def _refine(root, t):  # type: ignore[no-untyped-def]
    """Two steps of Halley's method, in place: cube roots of t to the last digits. Many are computed side by side."""
    for i in range(t.size):
        near = root[i]
        for _ in range(2):
            cube = near * near * near
            near *= (cube + 2.0 * t[i]) / (2.0 * cube + t[i])
        root[i] = near


@njit(cache=True, error_model="numpy")
def _to_lab(image, light, matrix, roots, lab):  # type: ignore[no-untyped-def]
    """Fill (3, n) from (n, 3) uint8; `matrix` gives XYZ in units of the white's."""
    xyz, root = np.zeros((3, _PIECE)), np.ones((3, _PIECE))
    lightness, first, second = lab[0], lab[1], lab[2]
    for start in range(0, len(image), _PIECE):
        _look_up(image[start : start + _PIECE], light, matrix, roots, xyz, root)
        for k in range(3):
            t, f = xyz[k], root[k]
            _refine(f, t)
            for i in range(_PIECE):
                f[i] = f[i] if t[i] > _DARK else 7.787 * t[i] + 16.0 / 116.0
        x, y, z = root[0], root[1], root[2]
        for i in range(min(_PIECE, len(image) - start)):
            pixel = np.uintp(start) + np.uintp(i)
            lightness[pixel] = 116.0 * y[i] - 16.0
            first[pixel] = 500.0 * (x[i] - y[i])
            second[pixel] = 200.0 * (y[i] - z[i])


@njit(cache=True, error_model="numpy")
def _to_luv(image, light, matrix, roots, white, luv):  # type: ignore[no-untyped-def]
    """Fill (3, n) from (n, 3) uint8; `matrix` gives XYZ in units of the white's Y, `white` holds its u' and v'."""
    xyz, root = np.zeros((3, _PIECE)), np.ones((3, _PIECE))
    lightness, first, second = luv[0], luv[1], luv[2]
    for start in range(0, len(image), _PIECE):
        _look_up(image[start : start + _PIECE], light, matrix, roots, xyz, root)
        x, y, z, f = xyz[0], xyz[1], xyz[2], root[1]
        _refine(f, y)
        for i in range(min(_PIECE, len(image) - start)):
            pixel = np.uintp(start) + np.uintp(i)
            light_here = 116.0 * f[i] - 16.0 if y[i] > _DARK else 903.3 * y[i]
            total = x[i] + 15.0 * y[i] + 3.0 * z[i] + 1e-16  # black has no colour, and is not divided by zero
            lightness[pixel] = light_here
            first[pixel] = 13.0 * light_here * (4.0 * x[i] / total - white[0])
            second[pixel] = 13.0 * light_here * (9.0 * y[i] / total - white[1])
