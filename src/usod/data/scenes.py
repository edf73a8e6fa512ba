"""Demo scenes: pictures with salient objects, their exact masks and tags, drawn from a seed.

They stand in for a benchmark where none can be shipped. Objects of ten kinds share what a network can learn; contrast,
clutter, size and place vary so that the handcrafted methods fail on some of them, and not all on the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import shift

from usod.data.index import write_index
from usod.data.sprites import KINDS, ROLES, Part, disc, ellipse, limb
from usod.data.textures import (
    blurred_things,
    defocus,
    draw_at_contrast,
    draw_background,
    draw_colours,
    grid,
    mat,
    noise,
    oklab_to_srgb,
    spotlight,
)
from usod.errors import UsageError, UsodError

SMALLEST, LARGEST = 0.03, 0.45  # visible share of the picture that all objects together may take
_ASPECTS = ((3, 4), (3, 4), (1, 1), (4, 3))  # height : width
# How far an object may lean from upright, in radians; kinds not named here lie at any angle.
_LEAN = {"mug": 0.4, "vase": 0.45, "mushroom": 0.5, "creature": 0.45, "fish": 0.7}


@dataclass(frozen=True)
class Scene:
    """A picture and what it shows.

    Attributes
    ----------
    image : (H, W, 3) uint8 sRGB
    mask : (H, W) bool, True on the objects
    tags : the kinds of the objects, sorted, each once
    """

    image: np.ndarray
    mask: np.ndarray
    tags: list[str]


def draw_scene(seed: int, index: int, size: int | tuple[int, int], kinds: Sequence[str] = tuple(KINDS)) -> Scene:
    """Scene number `index` of the series `seed`; it depends on nothing but the arguments.

    Parameters
    ----------
    seed, index : non-negative integers
    size : the longer side in pixels (the shape is then 3:4, 1:1 or 4:3), or (height, width)
    kinds : the kinds of objects to draw from, keys of `usod.data.sprites.KINDS`
    """
    rng = np.random.default_rng([seed, index])
    rows, columns = _ASPECTS[rng.integers(len(_ASPECTS))]
    if isinstance(size, int):
        size = (round(size * rows / max(rows, columns)), round(size * columns / max(rows, columns)))
    back = _background_colours(rng)
    light_angle = rng.uniform(-np.pi, 0)  # from above
    light = (float(np.cos(light_angle)), float(np.sin(light_angle)))
    backdrop = _draw_backdrop(rng, size, back)
    backdrop = _scatter_distractors(rng, backdrop, back, light)
    while True:
        canvas, coverage, tags = _place_objects(rng, backdrop, back, light, list(kinds))
        mask = coverage >= 0.5
        if SMALLEST <= mask.mean() <= LARGEST:
            break
    return Scene(_finish(rng, canvas), mask, tags)


def write_demo(
    out: str | Path, train: int, test: int, size: int, seed: int = 0, held_out: Sequence[str] = ()
) -> pd.DataFrame:
    """Write a demo data set: `images/ID.jpg` and `masks/ID.png` (0/255), then `tags.csv` (id, tags) and `split.csv`.

    Parameters
    ----------
    out : folder, made if missing; the same call writes the same pixels again
    train, test : number of scenes
    size : longer side in pixels
    seed : of the series; scene i of a seed is the same whatever the other numbers
    held_out : kinds that appear in test scenes only

    Returns
    -------
    One row per scene: id, split, tags (separated by ";")

    Raises
    ------
    UsageError
        If a number is out of range, a kind unknown, or the folder holds other images.
    UsodError
        If the folder cannot be written.
    """
    out = Path(out)
    seen = _check_demo(train, test, size, held_out)
    names = [f"train_{i:05d}" for i in range(train)] + [f"test_{i:05d}" for i in range(test)]
    images, masks = out / "images", out / "masks"
    foreign = {path.stem for folder in (images, masks) if folder.is_dir() for path in folder.iterdir()} - set(names)
    if foreign:
        raise UsageError(f"{out}: already holds other images, e.g. {min(foreign)}; give another --out or empty it")
    rows = []
    try:
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(exist_ok=True)
        for number, name in enumerate(names):
            split = name.split("_")[0]
            # Test scenes count from the far end of the series, so that more training scenes do not change them.
            index = number if split == "train" else 2**31 + number - train
            scene = draw_scene(seed, index, size, seen if split == "train" else tuple(KINDS))
            Image.fromarray(scene.image).save(images / f"{name}.jpg", quality=92)
            Image.fromarray(scene.mask).convert("L").save(masks / f"{name}.png")
            rows.append((name, split, ";".join(scene.tags)))
    except OSError as error:
        raise UsodError(f"{out}: cannot be written ({error.strerror or error})") from error
    table = pd.DataFrame(rows, columns=["id", "split", "tags"])
    write_index(table[["id", "tags"]], out / "tags.csv")
    write_index(table[["id", "split"]], out / "split.csv")
    return table


def _check_demo(train: int, test: int, size: int, held_out: Sequence[str]) -> tuple[str, ...]:
    """The kinds that training scenes show."""
    if train < 0 or test < 0 or train + test == 0:
        raise UsageError(f"train {train} and test {test}: ask for at least one scene")
    if not 32 <= size <= 4096:
        raise UsageError(f"size {size}: give the longer side in pixels, 32 to 4096")
    unknown = sorted(set(held_out) - set(KINDS))
    if unknown:
        raise UsageError(f"held_out {', '.join(unknown)}: no such kind; there are {', '.join(KINDS)}")
    seen = tuple(kind for kind in KINDS if kind not in held_out)
    if not seen:
        raise UsageError("held_out: at least one kind must be left to train on")
    return seen


def _background_colours(rng: np.random.Generator) -> np.ndarray:
    """(3,3) OKLab colours that keep together: one, and two at moderate distance."""
    base = draw_colours(rng, 1, (0.4, 0.86), (0.0, 0.09))[0]
    near = [base + rng.normal(0, (0.13, 0.04, 0.04)) * rng.uniform(0.5, 1.5) for _ in range(2)]
    colours = np.array([base, *near])
    colours[:, 0] = colours[:, 0].clip(0.22, 0.95)
    return colours


def _object_colours(rng: np.random.Generator, back: np.ndarray) -> dict[str, np.ndarray]:
    """A palette by role. The contrast of its main colour to the background goes from slight to strong."""
    main = draw_at_contrast(rng, back, rng.uniform(0.1, 0.32), (0.02, 0.17))
    if rng.random() < 0.4:  # parts that look like the background
        second = back[rng.integers(len(back))] + rng.normal(0, 0.02, 3)
    else:
        second = draw_at_contrast(rng, main[None], rng.uniform(0.1, 0.4), (0.02, 0.2))
    accent = draw_at_contrast(rng, np.array([main, second]), rng.uniform(0.12, 0.35), (0.05, 0.2))
    light, dark = draw_colours(rng, 1, (0.86, 0.97), (0, 0.05))[0], draw_colours(rng, 1, (0.15, 0.35), (0, 0.06))[0]
    return dict(zip(ROLES, oklab_to_srgb(np.array([main, second, accent, light, dark])), strict=True))


def _draw_backdrop(rng: np.random.Generator, shape: tuple[int, int], back: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: a background, often with things on it that stand out from it but are not the subject."""
    canvas = draw_background(rng, shape, oklab_to_srgb(back))
    others = oklab_to_srgb(
        np.array([draw_at_contrast(rng, back, rng.uniform(0.05, 0.22), (0, 0.12)) for _ in range(6)])
    )
    if rng.random() < 0.45:
        canvas = blurred_things(rng, canvas, others[: rng.integers(2, 7)])
    if rng.random() < 0.25:
        canvas = mat(rng, canvas, others[:3])
    if rng.random() < 0.3:
        canvas = spotlight(rng, canvas, others[0])
    return canvas.clip(0, 1)


@dataclass(frozen=True)
class _Layer:
    """A rendered object: its colour premultiplied by `alpha` (h, w), for the window of the canvas that it covers."""

    window: tuple[slice, slice]
    colour: np.ndarray
    alpha: np.ndarray

    def over(self, canvas: np.ndarray) -> None:
        canvas[self.window] *= 1 - self.alpha[..., None]
        canvas[self.window] += self.colour


def _paint(
    parts: Sequence[Part],
    u: np.ndarray,
    v: np.ndarray,
    pixel: float,
    palette: dict[str, np.ndarray],
    light: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied colour (h, w, 3) and alpha (h, w) of parts over each other; `pixel` is a pixel's size in (u, v)."""
    alpha = np.zeros(u.shape, np.float32)
    colour = np.zeros((*u.shape, 3), np.float32)
    for part in parts:
        distance = part.distance(u, v).astype(np.float32)
        cover = (0.5 - distance / pixel).clip(0, 1)
        if part.inside:
            cover *= alpha
        paint = palette[part.colour]
        if part.pattern is not None:
            share = part.pattern(u, v).clip(0, 1).astype(np.float32)[..., None]
            paint = paint + share * (palette[part.other] - paint)
        form = distance if part.form is None else part.form(u, v).astype(np.float32)
        down, right = np.gradient(form, pixel)
        edge = (1 + np.minimum(form, 0) / (1.4 * part.relief)).clip(0, 1) ** 2
        shade = 1 + 0.45 * edge * (right * light[0] + down * light[1]).clip(-1, 1)
        cover3 = cover[..., None]
        colour = colour * (1 - cover3) + paint * (shade * cover)[..., None]
        alpha = np.maximum(alpha, alpha + cover * (1 - alpha))
    return colour, alpha


def _draw_object(
    rng: np.random.Generator,
    kind: str,
    shape: tuple[int, int],
    area: float,
    centre: tuple[float, float],
    palette: dict[str, np.ndarray],
    light: tuple[float, float],
) -> _Layer:
    """One object of `kind` at `centre` (y, x in pixels) that would cover `area` pixels if nothing cut it off."""
    parts = KINDS[kind](rng)
    coarse = np.linspace(-1.4, 1.4, 48, dtype=np.float32)
    _, fill = _paint(parts, *np.meshgrid(coarse, coarse), 2.8 / 48, palette, light)
    radius = float(np.sqrt(area / (fill.mean() * 2.8**2)))
    lean = _LEAN.get(kind, np.pi)
    angle, flip = rng.uniform(-lean, lean), rng.choice([-1, 1])
    stretch = np.exp(rng.normal(0, 0.1))
    reach = 1.5 * radius * max(stretch, 1 / stretch)
    top, left = max(int(centre[0] - reach), 0), max(int(centre[1] - reach), 0)
    bottom, right = min(int(centre[0] + reach) + 1, shape[0]), min(int(centre[1] + reach) + 1, shape[1])
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - centre[0])[:, None] / radius
    x = (np.arange(left, right, dtype=np.float32) + 0.5 - centre[1])[None, :] / radius
    c, s = np.cos(angle), np.sin(angle)
    u, v = (c * x + s * y) * stretch * flip, (c * y - s * x) / stretch
    # No two of a kind have quite the same outline: a slow wave bends the frame.
    bend, first, second = rng.uniform(0, 0.07), *rng.uniform(0, 2 * np.pi, 2)
    u, v = u + bend * np.sin(2.6 * v + first), v + bend * np.sin(2.6 * u + second)
    towards = (flip * (c * light[0] + s * light[1]), c * light[1] - s * light[0])
    colour, alpha = _paint(parts, u, v, 1 / radius, palette, towards)
    grain = noise(rng, alpha.shape, max(radius / rng.uniform(1, 6), 2), 4, 0.7) if min(alpha.shape) > 1 else 0
    colour *= (1 + rng.uniform(0.02, 0.1) * np.asarray(grain, np.float32)[..., None]).clip(0.5, 1.5)
    return _Layer((slice(top, bottom), slice(left, right)), colour, alpha)


def _place_objects(
    rng: np.random.Generator,
    backdrop: np.ndarray,
    back: np.ndarray,
    light: tuple[float, float],
    kinds: list[str],
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The picture (H, W, 3), how much of each pixel the objects cover (H, W), and their kinds."""
    height, width = shape = backdrop.shape[:2]
    count = 2 if rng.random() < 0.2 else 1
    total = np.exp(rng.uniform(np.log(0.045), np.log(0.36)))
    shares = total * np.array([1.0] if count == 1 else [0.6, 0.4])
    palette = _object_colours(rng, back)
    canvas, coverage, tags = backdrop.copy(), np.zeros(shape, np.float32), set()
    side = rng.choice([-1, 1])
    for number, share in enumerate(shares):
        y = height * rng.normal(0.5, 0.1)
        x = width * (rng.normal(0.5, 0.11) if count == 1 else 0.5 + side * (number - 0.5) * rng.uniform(0.4, 0.6))
        if count == 1 and rng.random() < 0.25:  # pushed out to a border
            if rng.random() < 0.5:
                y = height * rng.choice([rng.uniform(0.05, 0.2), rng.uniform(0.8, 0.95)])
            else:
                x = width * rng.choice([rng.uniform(0.05, 0.2), rng.uniform(0.8, 0.95)])
        kind = str(kinds[rng.integers(len(kinds))])
        if number and rng.random() < 0.5:
            palette = _object_colours(rng, back)
        layer = _draw_object(rng, kind, shape, share * height * width, (y, x), palette, light)
        if rng.random() < 0.6:
            _cast_shadow(rng, canvas, layer, light)
        layer.over(canvas)
        coverage[layer.window] = np.maximum(coverage[layer.window], layer.alpha)
        tags.add(kind)
    return canvas, coverage, sorted(tags)


def _cast_shadow(rng: np.random.Generator, canvas: np.ndarray, layer: _Layer, light: tuple[float, float]) -> None:
    extent = np.sqrt(layer.alpha.sum())
    distance = rng.uniform(0.05, 0.14) * extent
    moved = shift(layer.alpha, (-light[1] * distance, -light[0] * distance), order=1)
    shadow = defocus(moved, rng.uniform(0.03, 0.09) * extent)
    canvas[layer.window] *= 1 - rng.uniform(0.25, 0.6) * shadow[..., None]


def _scatter_distractors(
    rng: np.random.Generator, canvas: np.ndarray, back: np.ndarray, light: tuple[float, float]
) -> np.ndarray:
    """Small things that are not the subject: up to nine, each at most half a percent of the picture."""
    shape = canvas.shape[:2]
    canvas = canvas.copy()
    if rng.random() < 0.4:
        return canvas
    y, x = grid(shape)
    for _ in range(int(rng.integers(1, 10))):
        palette = dict(
            zip(ROLES, oklab_to_srgb(draw_at_contrast(rng, back, rng.uniform(0.08, 0.35))[None]), strict=False)
        )
        radius = rng.uniform(0.012, 0.036)
        angle = rng.uniform(0, np.pi)
        form = (
            disc(0, 0, 1),
            ellipse(0, 0, 1.3, rng.uniform(0.4, 0.8), angle),
            limb(-np.cos(angle), -np.sin(angle), np.cos(angle), np.sin(angle), 0.4),
        )[rng.integers(3)]
        u, v = np.broadcast_arrays((x - rng.uniform(0, x.max())) / radius, (y - rng.uniform(0, y.max())) / radius)
        rows, columns = np.abs(v[:, 0]) < 2, np.abs(u[0]) < 2
        if rows.sum() < 2 or columns.sum() < 2:
            continue
        window = (
            slice(rows.argmax(), rows.argmax() + rows.sum()),
            slice(columns.argmax(), columns.argmax() + columns.sum()),
        )
        pixel = 1 / (radius * max(shape))
        _Layer(window, *_paint([Part(form)], u[window], v[window], pixel, palette, light)).over(canvas)
    return canvas


def _finish(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """What a camera adds: uneven light, vignette, slight blur, noise. (H, W, 3) uint8."""
    shape = canvas.shape[:2]
    y, x = grid(shape)
    off = np.hypot(y - y.mean(), x - x.mean())
    canvas = canvas * (1 - rng.uniform(0, 0.6) * off**2)[..., None]
    canvas *= (1 + rng.uniform(0, 0.09) * noise(rng, shape, max(shape) / 2, 1))[..., None].clip(0.6, 1.4)
    blur = rng.uniform(0.2, 0.9) * max(shape) / 300
    canvas = defocus(canvas, blur)
    strength = rng.uniform(0.004, 0.014)
    canvas += strength * rng.standard_normal((*shape, 1), np.float32)
    canvas += 0.5 * strength * rng.standard_normal((*shape, 3), np.float32)
    return np.rint(canvas.clip(0, 1) * 255).astype(np.uint8)
