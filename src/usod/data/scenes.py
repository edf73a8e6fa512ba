"""Demo scenes: pictures with salient objects, their exact masks and tags, drawn from a seed.

They stand in for a benchmark where none can be shipped. Objects of eight kinds share what a network can learn;
contrast, clutter, size and place vary so that the handcrafted methods fail on some of them, and not all on the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from usod.data.index import write_index
from usod.data.sprites import KINDS, ROLES, SIDE, Drawing
from usod.data.textures import (
    defocus,
    draw_at_contrast,
    draw_background,
    draw_colours,
    grid,
    lay,
    noise,
    oklab_to_srgb,
)
from usod.errors import UsageError, UsodError

SMALLEST, LARGEST = 0.03, 0.45  # visible share of the picture that all objects together may take
_ASPECTS = ((3, 4), (3, 4), (1, 1), (4, 3))  # height : width
# How far an object may lean from upright, in radians; kinds not named here lie at any angle.
_LEAN = {"mug": 0.4, "mushroom": 0.5, "fish": 0.7}


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
    while True:
        canvas, mask, tags = _place_objects(rng, backdrop, back, light, list(kinds))
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


def _object_colours(rng: np.random.Generator, back: np.ndarray) -> np.ndarray:
    """(5, 3) sRGB, a colour for each role; the contrast of the main one to the background is slight to strong."""
    main = draw_at_contrast(rng, back, rng.uniform(0.1, 0.32), (0.02, 0.17))
    if rng.random() < 0.4:  # parts that look like the background
        second = back[rng.integers(len(back))] + rng.normal(0, 0.02, 3)
    else:
        second = draw_at_contrast(rng, main[None], rng.uniform(0.1, 0.4), (0.02, 0.2))
    accent = draw_at_contrast(rng, np.array([main, second]), rng.uniform(0.12, 0.35), (0.05, 0.2))
    light, dark = draw_colours(rng, 1, (0.86, 0.97), (0, 0.05))[0], draw_colours(rng, 1, (0.15, 0.35), (0, 0.06))[0]
    return oklab_to_srgb(np.array([main, second, accent, light, dark]))


def _draw_backdrop(rng: np.random.Generator, shape: tuple[int, int], back: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: a background, often with things on it that stand out from it but are not the subject."""
    canvas = draw_background(rng, shape, oklab_to_srgb(back))
    pixel = 1 / max(shape)

    def colour(contrast: float) -> np.ndarray:
        return oklab_to_srgb(draw_at_contrast(rng, back, rng.uniform(0.05, contrast), (0, 0.12)))

    if rng.random() < 0.45:  # out of focus, behind the subject
        for _ in range(rng.integers(2, 7)):
            canvas = lay(rng, canvas, colour(0.22), (0.06, 0.25), (0, 1), rng.uniform(0.006, 0.02))
    if rng.random() < 0.3:  # a rug or a plate below the subject, with a texture of its own
        texture = draw_background(rng, shape, np.array([colour(0.22) for _ in range(3)]))
        canvas = lay(rng, canvas, texture, (0.22, 0.5), (0.4, 0.6), 0.6 * pixel)
    if rng.random() < 0.6:  # small things that are not the subject
        for _ in range(rng.integers(1, 10)):
            canvas = lay(rng, canvas, colour(0.35), (0.012, 0.036), (0, 1), 0.3 * pixel)
    return canvas.clip(0, 1)


def _draw_object(
    rng: np.random.Generator, kind: str, area: float, palette: np.ndarray, light: tuple[float, float]
) -> Image.Image:
    """One object of `kind`, an RGBA image whose opaque part has `area` pixels. `light`: where it comes from, (x, y)."""
    drawing = Drawing()
    KINDS[kind](rng, drawing)
    colours = np.concatenate([np.zeros((1, 4)), np.append(palette, np.ones((len(ROLES), 1)), axis=1)])
    flat = Image.fromarray(np.rint(255 * colours[drawing.labels]).astype(np.uint8))
    lean = _LEAN.get(kind, np.pi)
    turned = flat.rotate(float(np.degrees(rng.uniform(-lean, lean))), Image.Resampling.BICUBIC)
    side, stretch = SIDE * np.sqrt(area / (drawing.labels > 0).sum()), np.exp(rng.normal(0, 0.1))
    small = turned.resize((max(2, round(side * stretch)), max(2, round(side / stretch))), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float32) / 255
    alpha = pixels[..., 3]
    # A rounded edge: bright where it faces the light.
    down, right = np.gradient(gaussian_filter(alpha, 0.025 * side))
    shade = 1 - 0.05 * side * (right * light[0] + down * light[1])
    shade += rng.uniform(0.02, 0.1) * noise(rng, alpha.shape, max(side / rng.uniform(2, 12), 2), 4, 0.7)
    shaded = (pixels[..., :3] * shade.clip(0.5, 1.5)[..., None]).clip(0, 1)
    return Image.fromarray(np.rint(255 * np.append(shaded, alpha[..., None], axis=2)).astype(np.uint8))


def _place_objects(
    rng: np.random.Generator, backdrop: np.ndarray, back: np.ndarray, light: tuple[float, float], kinds: list[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The picture (H, W, 3) in [0, 1], where objects are (H, W) bool, and their kinds."""
    height, width = backdrop.shape[:2]
    canvas = Image.fromarray(np.rint(255 * backdrop).astype(np.uint8))
    covered, tags = Image.new("L", (width, height)), set()
    shares = [0.6, 0.4] if rng.random() < 0.2 else [1.0]
    total = height * width * np.exp(rng.uniform(np.log(0.045), np.log(0.36)))
    palette, side = _object_colours(rng, back), rng.choice([-0.25, 0.25])
    for number, share in enumerate(shares):
        place = rng.normal(0.5, 0.1, 2)  # x, y
        if len(shares) == 2:
            place[0] += side * (1 - 2 * number)
        elif rng.random() < 0.25:  # pushed out to a border
            place[rng.integers(2)] = rng.choice([rng.uniform(0.05, 0.2), rng.uniform(0.8, 0.95)])
        if number and rng.random() < 0.5:
            palette = _object_colours(rng, back)
        kind = str(kinds[rng.integers(len(kinds))])
        thing = _draw_object(rng, kind, share * total, palette, light)
        corner = np.rint(place * (width, height) - np.array(thing.size) / 2)
        extent = np.sqrt(share * total)
        if rng.random() < 0.6:
            strength, distance, blur = rng.uniform((0.25, 0.05, 0.03), (0.6, 0.14, 0.09))
            shadow = Image.new("L", (width, height))
            shifted = corner - distance * extent * np.array(light)
            shadow.paste(thing.getchannel("A").point(lambda alpha, s=strength: s * alpha), _pixels(shifted))
            canvas.paste((0, 0, 0), mask=shadow.filter(ImageFilter.GaussianBlur(float(blur * extent))))
        canvas.paste(thing, _pixels(corner), thing)
        covered.paste(255, _pixels(corner), thing)
        tags.add(kind)
    return np.asarray(canvas, dtype=np.float32) / 255, np.asarray(covered) >= 128, sorted(tags)


def _pixels(place: np.ndarray) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))


def _finish(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """What a camera adds: vignette, slight blur, noise. (H, W, 3) uint8."""
    shape = canvas.shape[:2]
    y, x = grid(shape)
    off = np.hypot(y - y.mean(), x - x.mean())
    canvas = canvas * (1 - rng.uniform(0, 0.6) * off**2)[..., None]
    canvas = defocus(canvas, rng.uniform(0.2, 0.9) * max(shape) / 300)
    canvas += rng.uniform(0.004, 0.014) * (rng.standard_normal((*shape, 1)) + 0.5 * rng.standard_normal((*shape, 3)))
    return np.rint(canvas.clip(0, 1) * 255).astype(np.uint8)
