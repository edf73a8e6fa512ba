"""The objects of the demo scenes: ten kinds, each drawn with its own proportions, patterns and parts.

An object is a list of parts in a frame of its own: u to the right, v down, the outline within about 1 of the origin.
A part's shape is a signed distance (negative inside), so that outlines are exact at every size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (u, v) -> value, all of one shape


@dataclass(frozen=True)
class Part:
    """One part: where it is, and its colour by role in the object's palette.

    Attributes
    ----------
    distance : signed distance to its outline
    colour : a role of `ROLES`
    pattern : share in [0, 1] of the colour `other`
    other : the second colour of the pattern, a role too
    relief : width of its rounded edge
    inside : it is a marking, seen only on the parts before it
    form : the shape that catches the light, if not the part's own
    """

    distance: Field
    colour: str = "main"
    pattern: Field | None = None
    other: str = "second"
    relief: float = 0.25
    inside: bool = False
    form: Field | None = None


ROLES = ("main", "second", "accent", "light", "dark")


def disc(x: float, y: float, radius: float) -> Field:
    return lambda u, v: np.hypot(u - x, v - y) - radius


def ellipse(x: float, y: float, a: float, b: float, angle: float = 0.0) -> Field:
    """Semi-axes a, b; the first-order distance, exact on the outline."""
    c, s = np.cos(angle), np.sin(angle)

    def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        p, q = (c * (u - x) + s * (v - y)) / a, (c * (v - y) - s * (u - x)) / b
        scaled = np.hypot(p, q)
        return scaled * (scaled - 1) / np.maximum(np.hypot(p / a, q / b), 1e-6)

    return distance


def box(x: float, y: float, a: float, b: float, corner: float = 0.0) -> Field:
    """Half-sides a, b, with rounded corners."""

    def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        p, q = np.abs(u - x) - a + corner, np.abs(v - y) - b + corner
        return np.hypot(np.maximum(p, 0), np.maximum(q, 0)) + np.minimum(np.maximum(p, q), 0) - corner

    return distance


def limb(x0: float, y0: float, x1: float, y1: float, r0: float, r1: float | None = None) -> Field:
    """A rod from one point to another, its radius going from r0 to r1."""
    dx, dy = x1 - x0, y1 - y0
    end = r0 if r1 is None else r1

    def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        t = (((u - x0) * dx + (v - y0) * dy) / (dx * dx + dy * dy)).clip(0, 1)
        return np.hypot(u - x0 - t * dx, v - y0 - t * dy) - (r0 + t * (end - r0))

    return distance


def starred(points: int, inner: float, turn: float, rounding: float = 0.03) -> Field:
    """A star with tips at radius 1 and notches at radius `inner`."""
    sector = np.pi / points
    ax, ay = inner * np.cos(sector) - 1, inner * np.sin(sector)
    length = ax * ax + ay * ay

    def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle = np.abs((np.arctan2(v, u) - turn + sector) % (2 * sector) - sector)
        radius = np.hypot(u, v)
        p, q = radius * np.cos(angle) - 1, radius * np.sin(angle)
        t = ((p * ax + q * ay) / length).clip(0, 1)
        side = np.sign(p * ay - q * ax)
        return side * np.hypot(p - t * ax, q - t * ay) - rounding

    return distance


def petals(count: int, centre: float, a: float, b: float, turn: float) -> Field:
    """`count` ellipses around the origin, at distance `centre`, a along the radius and b across."""
    petal, sector = ellipse(centre, 0, a, b), np.pi / count

    def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle = (np.arctan2(v, u) - turn + sector) % (2 * sector) - sector
        radius = np.hypot(u, v)
        return petal(radius * np.cos(angle), radius * np.sin(angle))

    return distance


def both(one: Field, other: Field) -> Field:
    return lambda u, v: np.maximum(one(u, v), other(u, v))


def without(one: Field, other: Field) -> Field:
    return lambda u, v: np.maximum(one(u, v), -other(u, v))


def joined(fields: list[Field], softness: float = 0.0) -> Field:
    """The union; with `softness` the joints are filleted (polynomial smooth minimum)."""

    def distance(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        total = fields[0](u, v)
        for field in fields[1:]:
            other = field(u, v)
            total = np.minimum(total, other)
            if softness:
                overlap = np.maximum(softness - np.abs(total - np.maximum(total, other)), 0) / softness
                total = total - overlap * overlap * softness / 4
        return total

    return distance


def mirrored(field: Field) -> Field:
    return lambda u, v: field(np.abs(u), v)


def stripes(frequency: float, angle: float, phase: float = 0.0, sharpness: float = 6.0) -> Field:
    c, s = frequency * np.cos(angle), frequency * np.sin(angle)
    return lambda u, v: 0.5 + 0.5 * np.tanh(sharpness * np.sin(2 * np.pi * (c * u + s * v) + phase))


def fading(angle: float, softness: float = 0.8) -> Field:
    c, s = np.cos(angle) / softness, np.sin(angle) / softness
    return lambda u, v: 1 / (1 + np.exp(-2 * (c * u + s * v)))


def spokes(count: int, turn: float, sharpness: float = 6.0) -> Field:
    return lambda u, v: 0.5 + 0.5 * np.tanh(sharpness * np.sin(count * (np.arctan2(v, u) - turn)))


def spots(rng: np.random.Generator, count: int, size: tuple[float, float]) -> Field:
    places, sizes = rng.uniform(-0.9, 0.9, (count, 2)), rng.uniform(*size, count)
    return joined([disc(x, y, r) for (x, y), r in zip(places, sizes, strict=True)])


def _surface(rng: np.random.Generator) -> Field | None:
    """A pattern for a body: stripes, a fade, or none."""
    choice = rng.integers(4)
    if choice == 0:
        return stripes(rng.uniform(1.2, 3), rng.uniform(0, np.pi), rng.uniform(0, 6))
    if choice == 1:
        return fading(rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1))
    return None


def _eye(x: float, y: float, radius: float) -> list[Part]:
    return [
        Part(disc(x, y, radius), "light", relief=0.05),
        Part(disc(x + 0.2 * radius, y + 0.1 * radius, 0.55 * radius), "dark", relief=0.03, inside=True),
    ]


def star(rng: np.random.Generator) -> list[Part]:
    points, inner, turn = int(rng.integers(4, 8)), rng.uniform(0.38, 0.62), rng.uniform(0, np.pi)
    whole = starred(points, inner, turn, rng.uniform(0.01, 0.1))
    size = rng.uniform(0.45, 0.7)
    small = starred(points, inner, turn)
    parts = [Part(whole, pattern=spokes(points, turn, 2) if rng.random() < 0.5 else _surface(rng), relief=0.18)]
    if rng.random() < 0.7:
        parts.append(Part(lambda u, v: size * small(u / size, v / size), "second", relief=0.12))
    if rng.random() < 0.6:
        parts.append(Part(disc(0, 0, rng.uniform(0.12, 0.25)), "accent", relief=0.1))
    return parts


def leaf(rng: np.random.Generator) -> list[Part]:
    width, lean = rng.uniform(0.32, 0.6), rng.uniform(-0.15, 0.15)
    centre = (width * width - 0.81) / (2 * width)  # two arcs through (0, +-0.9) that bulge by `width`
    radius = width - centre
    blade = both(disc(centre, 0, radius), disc(-centre + lean, 0, radius))
    rise = rng.uniform(0.5, 1.0)
    count = rng.uniform(2.2, 4)

    def veins(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        wave = np.sin(2 * np.pi * count * (v + rise * np.abs(u)))
        return np.maximum(1 / (1 + np.exp(-18 * (wave - 0.75))), np.exp(-((u / 0.035) ** 2)))

    half = fading(0, 0.12) if rng.random() < 0.5 else None
    body = [Part(blade, pattern=half, other="second", relief=0.3)]
    marks = Part(blade, "main", pattern=veins, other=str(rng.choice(["light", "dark", "accent"])), relief=0.3)
    return [Part(limb(0, 0.75, rng.uniform(-0.2, 0.2), 1.2, 0.05, 0.03), "accent"), *(body if half else []), marks]


def mug(rng: np.random.Generator) -> list[Part]:
    half, tall, taper = rng.uniform(0.46, 0.62), rng.uniform(0.55, 0.8), rng.uniform(-0.1, 0.16)
    upright = box(0, 0, half, tall, rng.uniform(0.05, 0.2))
    body = lambda u, v: upright(u / (1 - taper * v / tall), v)  # noqa: E731
    turned = lambda u, v: 0.35 * (np.abs(u / (1 - taper * v / tall)) / half - 1)  # noqa: E731
    out, up, thick = half + rng.uniform(0.0, 0.06), rng.uniform(-0.12, 0.12), rng.uniform(0.07, 0.11)
    handle = without(ellipse(out, up, 0.4, 0.42), ellipse(out, up, 0.4 - 1.6 * thick, 0.42 - 1.6 * thick))
    rim = half * (1 + taper) - 0.02
    parts = [Part(handle, relief=0.1), Part(body, pattern=_surface(rng) if rng.random() < 0.5 else None, form=turned)]
    if rng.random() < 0.75:
        band, middle = rng.uniform(0.08, 0.25), rng.uniform(-0.2, 0.35)
        parts.append(Part(both(body, box(0, middle, 2, band)), "second", form=turned))
    if rng.random() < 0.4:
        parts.append(Part(disc(rng.uniform(-0.15, 0.15), 0.1, 0.2), "accent", relief=0.1, inside=True))
    parts.append(Part(ellipse(0, -tall, rim, 0.15), "light", relief=0.06))
    parts.append(
        Part(ellipse(0, -tall + 0.01, rim - 0.06, 0.1), "dark", pattern=fading(np.pi / 2, 0.1), other="second")
    )
    return parts


def fish(rng: np.random.Generator) -> list[Part]:
    depth = rng.uniform(0.3, 0.52)
    body = joined([ellipse(0.12, 0, 0.72, depth), ellipse(-0.35, 0, 0.45, 0.45 * depth)], 0.25)
    spread, sweep = rng.uniform(0.4, 0.85), rng.uniform(0.26, 0.36)
    tail = joined([ellipse(-0.8, s * 0.24, sweep, 0.13, np.pi + s * -spread) for s in (-1, 1)], 0.12)
    fin = joined(
        [
            ellipse(-0.02, -depth - 0.02, rng.uniform(0.3, 0.45), rng.uniform(0.13, 0.22), 0.25),
            ellipse(-0.1, depth, 0.22, 0.12, -0.5),
        ]
    )
    skin = (
        stripes(rng.uniform(1.2, 2.6), rng.choice([0.0, 0.35, np.pi / 2]), rng.uniform(0, 6))
        if rng.random() < 0.7
        else fading(np.pi / 2, 0.3)
    )
    parts = [
        Part(tail, "accent", pattern=stripes(5, np.pi / 2, 0, 1.5), other="second", relief=0.1),
        Part(fin, "accent", pattern=stripes(6, 0.3, 0, 1), other="second", relief=0.1),
        Part(body, pattern=skin, relief=0.4),
        Part(ellipse(0.05, 0.12, 0.17, 0.09, -0.5), "accent", relief=0.1, inside=True),
    ]
    return parts + _eye(0.55, -0.28 * depth, rng.uniform(0.07, 0.12))


def creature(rng: np.random.Generator) -> list[Part]:
    """A rounded animal of random build: body, head, legs, ears or horns, a face."""
    wide, tall = rng.uniform(0.45, 0.65), rng.uniform(0.4, 0.6)
    head_x, head_y, head = rng.uniform(-0.35, 0.35), -rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.42)
    legs = np.linspace(-0.7, 0.7, int(rng.integers(2, 5))) * wide
    limbs: list[Field] = [limb(x, 0.3, x * rng.uniform(0.9, 1.3), 0.95, 0.13, 0.1) for x in legs]
    limbs += [
        limb(side * wide * 0.7, 0, side * rng.uniform(0.8, 1.0), rng.uniform(-0.4, 0.4), 0.12, 0.09) for side in (-1, 1)
    ]
    body = joined([ellipse(0, 0.15, wide, tall), disc(head_x, head_y, head)], 0.3)
    tip = rng.uniform(0.5, 0.75)
    ears = joined(
        [
            limb(head_x + s * 0.6 * head, head_y - 0.5 * head, head_x + s * tip * 0.8, head_y - tip * 0.75, 0.11, 0.05)
            for s in (-1, 1)
        ]
    )
    marking = spots(rng, int(rng.integers(5, 11)), (0.06, 0.17))
    parts = [
        Part(joined(limbs), "second", relief=0.12),
        Part(ears, "accent", relief=0.1),
        Part(body, pattern=_surface(rng), relief=0.45),
        Part(ellipse(0, 0.28, 0.6 * wide, 0.6 * tall), "light", relief=0.2, inside=True)
        if rng.random() < 0.5
        else Part(both(body, marking), "second", relief=0.1),
    ]
    eye = rng.uniform(0.07, 0.12)
    return parts + _eye(head_x - 0.14, head_y, eye) + _eye(head_x + 0.14, head_y, eye)


def ring(rng: np.random.Generator) -> list[Part]:
    hole, flat = rng.uniform(0.36, 0.6), rng.uniform(0.75, 1.0)
    whole = without(ellipse(0, 0, 0.98, 0.98 * flat), ellipse(0, 0, hole, hole * flat))
    parts = [Part(whole, pattern=spokes(int(rng.integers(2, 6)), rng.uniform(0, np.pi)), relief=0.3)]
    if rng.random() < 0.5:  # a doughnut
        glaze = without(ellipse(0, 0, 0.86, 0.86 * flat), ellipse(0, 0, hole + 0.1, (hole + 0.1) * flat))
        parts = [Part(whole, relief=0.3), Part(glaze, "accent", pattern=fading(rng.uniform(0, 6)), relief=0.15)]
        parts.append(Part(both(glaze, spots(rng, 34, (0.03, 0.06))), "light", relief=0.03))
    return parts


def mushroom(rng: np.random.Generator) -> list[Part]:
    wide, tall, low = rng.uniform(0.7, 0.95), rng.uniform(0.55, 0.85), rng.uniform(-0.05, 0.15)
    cap = both(ellipse(0, low, wide, tall), lambda u, v: v - low - 0.1 * np.cos(1.5 * u / wide))
    stem = limb(0, low, rng.uniform(-0.12, 0.12), 0.85, rng.uniform(0.16, 0.24), rng.uniform(0.2, 0.32))
    parts = [
        Part(stem, "light", pattern=stripes(4, 0.1, 0, 1), other="accent", relief=0.2),
        Part(ellipse(0, low + 0.04, 0.85 * wide, 0.16), "second", pattern=spokes(24, 0, 2), other="dark", relief=0.05),
        Part(cap, pattern=fading(-np.pi / 2, 0.5) if rng.random() < 0.4 else None, relief=0.28),
    ]
    if rng.random() < 0.8:
        dots = spots(rng, int(rng.integers(7, 14)), (0.07, 0.15))
        parts.append(Part(both(cap, dots), str(rng.choice(["light", "second"])), relief=0.08))
    return parts


def flower(rng: np.random.Generator) -> list[Part]:
    count, turn = int(rng.integers(5, 10)), rng.uniform(0, np.pi)
    length, breadth = rng.uniform(0.32, 0.42), rng.uniform(1.25, 1.9) * np.pi * 0.5 / count
    outer = petals(count, 0.58, length, breadth * 0.6, turn)
    core = rng.uniform(0.2, 0.32)
    reach = lambda u, v: ((np.hypot(u, v) - 0.3) / 0.6).clip(0, 1)  # noqa: E731
    parts = [Part(outer, pattern=reach, relief=0.16)]
    if rng.random() < 0.5:
        parts.append(Part(petals(count, 0.4, 0.25, breadth * 0.4, turn + np.pi / count), "second", relief=0.12))
    return [
        *parts,
        Part(disc(0, 0, core), "accent", pattern=spokes(14, 0, 1), other="dark", relief=0.2),
        Part(disc(0, 0, 0.45 * core), "dark", pattern=fading(1.0, 0.1), other="accent", relief=0.1),
    ]


def butterfly(rng: np.random.Generator) -> list[Part]:
    lift, long = rng.uniform(0.4, 0.8), rng.uniform(0.5, 0.62)
    upper = ellipse(0.48, -0.32, long, rng.uniform(0.3, 0.42), -lift)
    lower = ellipse(0.36, 0.38, rng.uniform(0.38, 0.5), rng.uniform(0.24, 0.34), lift + 0.2)
    wings = mirrored(joined([lower, upper], 0.08))
    inner = mirrored(lambda u, v: joined([lower, upper], 0.08)(u, v) + 0.11)
    mark = mirrored(joined([disc(0.62, -0.45, rng.uniform(0.08, 0.16)), disc(0.45, 0.45, rng.uniform(0.06, 0.12))]))
    feeler = mirrored(limb(0.03, -0.5, rng.uniform(0.15, 0.3), -0.85, 0.025))
    parts = [
        Part(wings, str(rng.choice(["dark", "second"])), relief=0.08),
        Part(inner, "main", pattern=lambda u, v: spokes(7, 0.2, 2)(np.abs(u), v) * 0.6, other="second", relief=0.15),
        Part(mark, "accent", relief=0.06, inside=True),
        Part(feeler, "dark", relief=0.02),
        Part(ellipse(0, 0, 0.08, 0.55), "dark", pattern=stripes(5, np.pi / 2, 0, 2), other="accent", relief=0.08),
    ]
    return parts


def vase(rng: np.random.Generator) -> list[Part]:
    """A turned vessel: its half-width along the axis is a random smooth curve."""
    heights = np.linspace(-0.95, 0.95, 7)
    widths = np.array([0.3, 0.2, 0.3, 0.5, 0.55, 0.45, 0.3]) * rng.uniform(0.75, 1.25, 7) + rng.uniform(-0.02, 0.06)
    fine = np.linspace(-0.95, 0.95, 96)
    weights = np.exp(-((fine[:, None] - heights) ** 2) / 0.045)
    profile = (weights @ widths) / weights.sum(1)
    slope = float(np.abs(np.gradient(profile, fine)).max())

    def body(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        side = (np.abs(u) - np.interp(v, fine, profile)) / np.sqrt(1 + 0.5 * slope**2)
        return np.maximum(side, np.abs(v) - 0.95)

    turned = lambda u, v: 0.35 * (np.abs(u) / np.interp(v, fine, profile) - 1)  # noqa: E731
    first, second = np.sort(rng.uniform(-0.6, 0.7, 2))
    bands = joined([box(0, first, 2, rng.uniform(0.04, 0.12)), box(0, second, 2, rng.uniform(0.05, 0.16))])
    mouth = float(profile[0])
    parts = [
        Part(body, pattern=_surface(rng), form=turned),
        Part(both(body, bands), "second", form=turned),
    ]
    if rng.random() < 0.4:
        wave = rng.uniform(0.05, 0.1)
        zigzag = lambda u, v: np.abs(v - 0.25 - wave * np.sin(14 * u)) - 0.035  # noqa: E731
        parts.append(Part(both(body, zigzag), "accent", form=turned))
    return [*parts, Part(ellipse(0, -0.95, mouth, 0.07), "dark", pattern=fading(np.pi / 2, 0.05), other="second")]


KINDS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    kind.__name__: kind for kind in (star, leaf, mug, fish, creature, ring, mushroom, flower, butterfly, vase)
}
