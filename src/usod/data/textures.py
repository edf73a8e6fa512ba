"""The surfaces of the demo scenes: colours with a chosen contrast, noise, and backgrounds of several families.

Everything is drawn from the generator that is passed in, so a scene depends on its seed alone.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.special import expit

Shape = tuple[int, int]

# OKLab (Ottosson 2020): Euclidean distance in it is close to perceived contrast.
_LAB_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """(..., 3) OKLab to (..., 3) float32 sRGB in [0, 1]; colours outside the gamut are clipped."""
    linear = ((lab @ _LAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T).clip(0, 1)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return gamma.astype(np.float32)


def draw_colours(
    rng: np.random.Generator,
    count: int,
    lightness: tuple[float, float] = (0.2, 0.95),
    chroma: tuple[float, float] = (0.0, 0.2),
) -> np.ndarray:
    """(count, 3) random OKLab colours; lightness and chroma are uniform in their ranges."""
    hue = rng.uniform(0, 2 * np.pi, count)
    c = rng.uniform(*chroma, count)
    return np.stack([rng.uniform(*lightness, count), c * np.cos(hue), c * np.sin(hue)], axis=1)


def draw_at_contrast(
    rng: np.random.Generator, others: np.ndarray, contrast: float, chroma: tuple[float, float] = (0.03, 0.2)
) -> np.ndarray:
    """(3,) OKLab colour whose distance to the nearest of `others` (k, 3) is close to `contrast`."""
    candidates = draw_colours(rng, 48, chroma=chroma)
    distance = np.linalg.norm(candidates[:, None] - others[None], axis=2).min(1)
    return candidates[np.abs(distance - contrast).argmin()]


def noise(rng: np.random.Generator, shape: Shape, cell: float, octaves: int = 1, gain: float = 0.55) -> np.ndarray:
    """(H, W) float32 smooth noise, mean about 0, standard deviation about 1.

    Parameters
    ----------
    cell : size of the largest grains in pixels
    octaves : each next one has half the grain and `gain` times the weight
    """
    rng = rng.spawn(1)[0]  # how many numbers it takes depends on the size; what is drawn after it must not
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight = 1.0
    for _ in range(octaves):
        rows, columns = max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)
        grid = rng.standard_normal((rows, columns)).astype(np.float32)
        total += weight * _enlarge(grid, shape)
        cell, weight = max(cell / 2, 1.0), weight * gain
    return total / max(float(total.std()), 1e-6)


def blend(colours: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: the ramp through `colours` (k, 3) sRGB at `position` (H, W), 0 the first and 1 the last."""
    stops = np.linspace(0, 1, len(colours))
    ramp = np.stack([np.interp(np.linspace(0, 1, 256), stops, colours[:, c]) for c in range(3)], axis=1)
    return ramp.astype(np.float32)[(position.clip(0, 1) * 255).astype(np.intp)]


def grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres as (H, 1) y and (1, W) x, float32, the longer side spanning [0, 1]."""
    scale = max(shape)
    y = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) / scale
    x = (np.arange(shape[1], dtype=np.float32)[None, :] + 0.5) / scale
    return y, x


def _enlarge(values: np.ndarray, shape: Shape) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def studio(rng: np.random.Generator, shape: Shape, colours: np.ndarray) -> np.ndarray:
    """A lit wall: a gradient in any direction, with faint mottle."""
    y, x = grid(shape)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = 0.5 + 0.6 * (np.cos(angle) * (x - x.mean()) + np.sin(angle) * (y - y.mean()))
    return blend(colours, ramp + rng.uniform(0.03, 0.12) * noise(rng, shape, max(shape) / rng.uniform(3, 9), 4))


def clouds(rng: np.random.Generator, shape: Shape, colours: np.ndarray) -> np.ndarray:
    """Multi-octave noise through the whole ramp: sky, stone, water."""
    field = noise(rng, shape, max(shape) / rng.uniform(2, 7), 6, rng.uniform(0.45, 0.7))
    return blend(colours, 0.5 + rng.uniform(0.18, 0.3) * field)


def weave(rng: np.random.Generator, shape: Shape, colours: np.ndarray) -> np.ndarray:
    """Gratings: stripes or a plaid, bent by noise, under uneven light."""
    y, x = grid(shape)
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(6, 26)
    bend = rng.uniform(0, 0.9) * noise(rng, shape, max(shape) / 3, 2)
    stripes = np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + bend)
    if rng.random() < 0.5:
        across = np.sin(2 * np.pi * frequency * (np.cos(angle) * y - np.sin(angle) * x) * rng.uniform(0.6, 1.4) + bend)
        stripes = 0.6 * stripes + 0.5 * across
    sharp = np.tanh(rng.uniform(0.8, 4) * stripes)
    light = 0.22 * noise(rng, shape, max(shape) / 2, 2) + 0.08 * noise(rng, shape, max(shape) / 40, 2)
    return blend(colours, 0.5 + rng.uniform(0.12, 0.34) * sharp + light)


def pebbles(rng: np.random.Generator, shape: Shape, colours: np.ndarray) -> np.ndarray:
    """Clutter: Voronoi patches in the colours of the ramp, rounded and dark in the joints."""
    y, x = grid(shape)
    count = int(rng.integers(40, 260))
    seeds = rng.uniform(-0.05, 1.05, (count, 2))
    wobble = 0.012 * noise(rng, shape, max(shape) / 14, 2)
    points = np.stack([y + wobble, x - wobble], axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(seeds).query(points, k=2)
    joint = (distance[:, 1] - distance[:, 0]).reshape(shape).astype(np.float32) * np.sqrt(count)
    patch = rng.uniform(0, 1, count).astype(np.float32)[nearest[:, 0]].reshape(shape)
    image = blend(colours, patch + 0.07 * noise(rng, shape, max(shape) / 30, 3))
    depth = rng.uniform(0.2, 0.6)
    return image * (1 - depth * np.exp(-6 * joint))[..., None]


def landscape(rng: np.random.Generator, shape: Shape, colours: np.ndarray) -> np.ndarray:
    """Two parts: a sky over a ground of another colour and texture, with a wavy or a straight horizon."""
    y, x = grid(shape)
    reach = shape[0] / max(shape)
    hills = noise(rng, (1, shape[1]), shape[1] / rng.uniform(1.5, 6), 3) * rng.choice([0.004, 0.03, 0.05])
    horizon = rng.uniform(0.25, 0.72) * reach + hills + rng.uniform(-0.12, 0.12) * (x - 0.5)
    sky = blend(colours[:2], 0.9 * y / reach + 0.16 * noise(rng, shape, max(shape) / 3, 5))
    grain = rng.choice([6, 14, 40])
    ground = blend(colours[1:][::-1], 0.45 + 0.22 * noise(rng, shape, max(shape) / grain, 4, 0.7))
    part = expit((y - horizon) * (max(shape) / rng.uniform(0.7, 4)))
    return sky + part[..., None] * (ground - sky)


Background = Callable[[np.random.Generator, Shape, np.ndarray], np.ndarray]
BACKGROUNDS: dict[str, Background] = {family.__name__: family for family in (studio, clouds, weave, pebbles, landscape)}


def draw_background(rng: np.random.Generator, shape: Shape, colours: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 sRGB in [0, 1]: a background of a random family in the colours (k, 3), sometimes defocused."""
    family = list(BACKGROUNDS.values())[rng.integers(len(BACKGROUNDS))]
    image = family(rng, shape, colours)
    if rng.random() < 0.35:
        image = defocus(image, max(shape) * rng.uniform(0.004, 0.015))
    return image.clip(0, 1)


def defocus(image: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur of (H, W) or (H, W, C); `radius` is its standard deviation in pixels."""
    return gaussian_filter(image, (radius, radius, 0)[: image.ndim])


def lay(
    rng: np.random.Generator,
    canvas: np.ndarray,
    fill: np.ndarray,
    size: tuple[float, float],
    centre: tuple[float, float],
    softness: float,
) -> np.ndarray:
    """Lay a thing over the canvas (H, W, 3): an ellipse, a box, or something between, at any angle.

    Parameters
    ----------
    fill : (3,) or (H, W, 3) sRGB
    size : range of its half axes, in longer sides of the canvas, like `softness`, the width of its edge
    centre : range of its centre in height and width
    """
    y, x = grid(canvas.shape[:2])
    angle, corner = rng.uniform(0, np.pi), rng.choice([2.0, 4.0, 12.0])
    a, b = np.exp(rng.uniform(np.log(size[0]), np.log(size[1]), 2))
    p, q = x - rng.uniform(*centre) * x.max(), y - rng.uniform(*centre) * y.max()
    along, across = np.cos(angle) * p + np.sin(angle) * q, np.cos(angle) * q - np.sin(angle) * p
    level = (np.abs(along / a) ** corner + np.abs(across / b) ** corner) ** (1 / corner)
    cover = expit(((1 - level) * min(a, b) / softness).clip(-50, 50))
    return canvas + cover[..., None] * (fill - canvas)
