"""The objects of the demo scenes: eight kinds, each drawn with its own proportions, colours and markings.

An object is drawn upright in a square frame: u to the right and v down, from -1.25 to 1.25, the object within about 1
of the origin.
"""

from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image, ImageDraw

ROLES = ("main", "second", "accent", "light", "dark")
SIDE, REACH = 480, 1.25  # of the frame: pixels, and u and v at its border


class Drawing:
    """A frame (SIDE, SIDE) of `labels`: 0 where nothing is, else 1 + the number of a role of `ROLES`."""

    def __init__(self) -> None:
        self.labels = np.zeros((SIDE, SIDE), np.uint8)
        self.v, self.u = np.meshgrid(*2 * [np.linspace(-REACH, REACH, SIDE)], indexing="ij")

    def fill(self, where: np.ndarray, role: str, on: Iterable[str] = ()) -> None:
        """Colour the pixels (SIDE, SIDE) bool; `on`: of them those that have one of these roles."""
        roles = [ROLES.index(name) + 1 for name in on]
        self.labels[where & np.isin(self.labels, roles) if roles else where] = ROLES.index(role) + 1

    def polygon(self, u: np.ndarray, v: np.ndarray, role: str, on: Iterable[str] = ()) -> None:
        shape = Image.new("1", (SIDE, SIDE))
        corners = (np.stack([u, v], axis=1) / REACH + 1) * SIDE / 2
        ImageDraw.Draw(shape).polygon([(float(x), float(y)) for x, y in corners], fill=1)
        self.fill(np.asarray(shape), role, on)

    def ellipse(
        self, u: float, v: float, a: float, b: float, role: str, angle: float = 0.0, on: Iterable[str] = ()
    ) -> None:
        """Semi-axes a and b, a at `angle` from the u axis."""
        turn = np.linspace(0, 2 * np.pi, 60)
        p, q = a * np.cos(turn), b * np.sin(turn)
        c, s = np.cos(angle), np.sin(angle)
        self.polygon(u + c * p - s * q, v + s * p + c * q, role, on)

    def marked(self, rng: np.random.Generator) -> None:
        """Stripes or spots of the second colour on the main one, or neither."""
        choice = rng.integers(3)
        if choice == 0:
            angle, frequency = rng.uniform(0, np.pi), rng.uniform(7, 18)
            wave = np.sin(frequency * (np.cos(angle) * self.u + np.sin(angle) * self.v) + rng.uniform(0, 6))
            self.fill(wave > 0, "second", on=["main"])
        elif choice == 1:
            for u, v, size in rng.uniform((-1, -1, 0.06), (1, 1, 0.16), (16, 3)):
                self.ellipse(u, v, size, size, "second", on=["main"])


def star(rng: np.random.Generator, drawing: Drawing) -> None:
    points, inner = int(rng.integers(4, 8)), rng.uniform(0.38, 0.62)
    turn = np.arange(2 * points) * np.pi / points
    radius = np.where(np.arange(2 * points) % 2, inner, 1)
    drawing.polygon(radius * np.sin(turn), radius * np.cos(turn), "main")
    drawing.marked(rng)
    if rng.random() < 0.6:
        drawing.polygon(0.5 * radius * np.sin(turn), 0.5 * radius * np.cos(turn), "accent")


def leaf(rng: np.random.Generator, drawing: Drawing) -> None:
    half = np.linspace(-1, 1, 40)
    width = rng.uniform(0.35, 0.6) * np.cos(half * np.pi / 2) ** rng.uniform(0.7, 1.2)
    drawing.polygon(np.array([-0.05, 0.05, 0.05, -0.05]), np.array([0.8, 0.8, 1.2, 1.2]), "accent")
    drawing.polygon(np.append(width, -width[::-1]), np.append(half, half[::-1]) * 0.95, "main")
    veins = np.sin(rng.uniform(14, 24) * (drawing.v + rng.uniform(0.5, 1) * np.abs(drawing.u))) > 0.75
    drawing.fill(veins | (np.abs(drawing.u) < 0.04), "second", on=["main"])


def mug(rng: np.random.Generator, drawing: Drawing) -> None:
    half, tall, taper = rng.uniform(0.46, 0.62), rng.uniform(0.55, 0.8), rng.uniform(-0.05, 0.12)
    drawing.ellipse(half, 0, 0.4, 0.42, "main")
    drawing.labels[np.hypot((drawing.u - half) / 0.24, drawing.v / 0.26) < 1] = 0
    top, low = half + taper, half - taper
    drawing.polygon(np.array([-top, top, low, -low]), np.array([-tall, -tall, tall, tall]), "main")
    drawing.ellipse(0, tall, low, 0.12, "main")
    drawing.marked(rng)
    if rng.random() < 0.6:
        middle, band = rng.uniform(-0.2, 0.35), rng.uniform(0.08, 0.2)
        drawing.fill((np.abs(drawing.v - middle) < band) & (drawing.u < low), "accent", on=["main", "second"])
    drawing.ellipse(0, -tall, top, 0.15, "light")
    drawing.ellipse(0, -tall, top - 0.07, 0.1, "dark")


def fish(rng: np.random.Generator, drawing: Drawing) -> None:
    depth, spread = rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.7)
    for side in (-1, 1):
        drawing.ellipse(-0.85, side * 0.22, 0.34, 0.14, "accent", angle=-side * spread)
        drawing.ellipse(0, side * depth, 0.3, 0.17, "accent", angle=0.3)
    drawing.ellipse(0.1, 0, 0.8, depth, "main")
    drawing.ellipse(-0.5, 0, 0.35, 0.4 * depth, "main")
    drawing.marked(rng)
    drawing.ellipse(0.05, 0.1, 0.18, 0.08, "accent", angle=-0.5)
    _eye(drawing, 0.58, -0.25 * depth, rng.uniform(0.07, 0.12))


def ring(rng: np.random.Generator, drawing: Drawing) -> None:
    hole, flat = rng.uniform(0.36, 0.6), rng.uniform(0.75, 1.0)
    drawing.ellipse(0, 0, 1, flat, "main")
    sectors = np.sin(int(rng.integers(3, 7)) * np.arctan2(drawing.v, drawing.u)) > 0
    drawing.fill(sectors, "second", on=["main"])
    drawing.labels[np.hypot(drawing.u, drawing.v / flat) < hole] = 0


def mushroom(rng: np.random.Generator, drawing: Drawing) -> None:
    wide, tall, stem = rng.uniform(0.7, 0.95), rng.uniform(0.6, 0.85), rng.uniform(0.16, 0.26)
    drawing.polygon(np.array([-stem, stem, 1.3 * stem, -1.3 * stem]), np.array([0, 0, 0.95, 0.95]), "light")
    drawing.ellipse(0, 0.05, wide, tall, "main")
    drawing.fill(drawing.v > 0.15, "light", on=["main"])
    drawing.labels[(drawing.v > 0.15) & (np.abs(drawing.u) > 1.3 * stem)] = 0
    drawing.ellipse(0, 0.15, wide, 0.13, "dark")
    drawing.marked(rng)


def flower(rng: np.random.Generator, drawing: Drawing) -> None:
    count, start, core = int(rng.integers(5, 10)), rng.uniform(0, np.pi), rng.uniform(0.2, 0.32)
    breadth = rng.uniform(0.7, 1.1) * np.pi * 0.5 / count
    for length, role in ((0.4, "main"), (0.22, "second")):
        for angle in start + np.arange(count) * 2 * np.pi / count:
            place = 0.95 - length if role == "main" else 0.45
            drawing.ellipse(place * np.cos(angle), place * np.sin(angle), length, breadth * length / 0.4, role, angle)
    drawing.ellipse(0, 0, core, core, "accent")
    drawing.ellipse(0, 0, 0.45 * core, 0.45 * core, "dark")


def butterfly(rng: np.random.Generator, drawing: Drawing) -> None:
    lift, upper, lower = rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.42), rng.uniform(0.24, 0.34)
    for size, role in ((1, "dark"), (0.78, "main")):
        for side in (-1, 1):
            drawing.ellipse(side * 0.5, -0.32, 0.56 * size, upper * size, role, -side * lift)
            drawing.ellipse(side * 0.38, 0.4, 0.45 * size, lower * size, role, side * (lift + 0.2))
    drawing.marked(rng)
    for side in (-1, 1):
        drawing.ellipse(side * 0.62, -0.45, 0.12, 0.12, "accent")
    drawing.ellipse(0, 0, 0.09, 0.6, "dark")


def _eye(drawing: Drawing, u: float, v: float, radius: float) -> None:
    drawing.ellipse(u, v, radius, radius, "light")
    drawing.ellipse(u, v, 0.55 * radius, 0.55 * radius, "dark")


KINDS: dict[str, Callable[[np.random.Generator, Drawing], None]] = {
    kind.__name__: kind for kind in (star, leaf, mug, fish, ring, mushroom, flower, butterfly)
}
