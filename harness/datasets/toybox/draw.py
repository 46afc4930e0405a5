"""Draw a scene: crisp at any size, and nothing that should stand hangs in the air.

Every kind of thing is drawn into a box that it fills from top to bottom, so that standing on the ground or on a support is
nothing but putting the box's lower edge there. Drawing is at three times the size and reduced, which smooths the edges.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageColor, ImageDraw

from harness.datasets.toybox.world import FLYERS, Scene, Thing

OVERSAMPLING = 3
HORIZON = 0.55
"""Where ground begins, from the top."""

RGB = tuple[int, int, int]

PAINT: Mapping[str, str] = {
    "red": "#d81e2c", "orange": "#f58a1f", "yellow": "#f7d51d", "green": "#2f9e44", "blue": "#2563d9", "purple": "#7c3aad",
    "pink": "#f582b4", "brown": "#7f4f24",
}  # fmt: skip
GROUNDS: Mapping[str, tuple[str, str, str]] = {
    "beach": ("#7cc4ee", "#cdeaf8", "#ecd8a0"),
    "grass": ("#9cd2f4", "#dceffa", "#86c25a"),
    "snow": ("#aebfd6", "#d5deea", "#f5f8fc"),
    "street": ("#b9c6d2", "#dde4ea", "#63636b"),
    "room": ("#eadcc2", "#f1e6d1", "#b5855b"),
    "night": ("#0c0c2c", "#2b2a58", "#171b33"),
}
"""Sky at the top, sky at the horizon, ground."""
WIDTHS: Mapping[str, float] = {
    "balloon": 0.68, "bird": 1.25, "boat": 1.1, "bus": 1.7, "butterfly": 1.15, "cake": 1.1, "car": 1.75, "cat": 0.85,
    "chair": 0.7, "cup": 1.0, "flower": 0.66, "hat": 1.3, "house": 1.05, "kite": 0.7, "lamp": 0.66, "table": 1.5, "tree": 0.8,
}  # fmt: skip
"""Width over height of each kind's box; 1 where not named."""
TOPS: Mapping[str, tuple[float, float]] = {"bus": (0.0, 1.0), "car": (0.32, 0.7), "chair": (0.0, 1.0), "table": (0.0, 1.0)}
"""From where to where a support is flat on top, as fractions of its width."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a thing is drawn, as fractions of the image."""

    thing: Thing
    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        """The edge it stands on."""
        return self.top + self.height

    @property
    def right(self) -> float:
        """The other side."""
        return self.left + self.width


def layout(scene: Scene, jitter: random.Random) -> list[Box]:
    """Where the things of a scene go: those behind first. Everything but a flyer stands on the ground or on its support."""
    first, second = scene.first, scene.second
    floor = jitter.uniform(0.8, 0.92)
    if second is None:
        height = jitter.uniform(0.36, 0.44) if scene.count < 3 else jitter.uniform(0.28, 0.34)
        return _row(first, scene.count, 0.04, 0.96, _stand(first, floor, jitter), height, jitter)
    if scene.relation == "beside":
        height = jitter.uniform(0.3, 0.38)
        share = {1: 0.5, 2: 0.62, 3: 0.7}[scene.count]
        swapped = jitter.random() < 0.5
        edges = (0.03, share, share, 0.97) if not swapped else (1 - share, 0.97, 0.03, 1 - share)
        boxes = _row(first, scene.count, edges[0], edges[1], _stand(first, floor, jitter), height, jitter)
        floor = min(0.94, floor + jitter.uniform(-0.03, 0.03))
        return boxes + _row(second, 1, edges[2], edges[3], _stand(second, floor, jitter), height, jitter)
    if scene.relation == "on":
        lower = _row(second, 1, 0.08, 0.92, floor, jitter.uniform(0.34, 0.4), jitter)[0]
        height = jitter.uniform(0.26, 0.32)
        start, end = (lower.left + edge * lower.width for edge in TOPS[second.kind])
        # Wide things may reach beyond the edge, as long as the middle of each rests on the flat top.
        room = max(end - start, 0.28 if scene.count == 1 else min(0.56, 1.6 * (end - start)))
        middle = (start + end) / 2
        return [lower, *_row(first, scene.count, middle - room / 2, middle + room / 2, lower.top + 0.012, height, jitter)]
    height = jitter.uniform(0.3, 0.36)
    lower = _row(second, 1, 0.15, 0.85, floor, height, jitter)[0]
    return [lower, *_row(first, scene.count, 0.06, 0.94, jitter.uniform(0.38, 0.42), jitter.uniform(0.28, 0.34), jitter)]


def _stand(thing: Thing, floor: float, jitter: random.Random) -> float:
    """The lower edge: the ground, or for a flyer somewhere in the air."""
    return floor - jitter.uniform(0.12, 0.25) if thing.kind in FLYERS else floor


def _row(thing: Thing, count: int, left: float, right: float, bottom: float, height: float, jitter: random.Random) -> list[Box]:
    """`count` of a thing side by side between two edges, as high as wished or as the room allows."""
    cell = (right - left) / count
    aspect = WIDTHS.get(thing.kind, 1.0)
    height = min(height, 0.96 * cell / aspect)
    width = height * aspect
    boxes = []
    for index in range(count):
        slack = cell - width
        boxes.append(Box(thing, left + index * cell + slack * jitter.uniform(0.3, 0.7), bottom - height, width, height))
    return boxes


def draw(scene: Scene, size: int, seed: int = 0) -> Image.Image:
    """The scene as a square RGB image of `size` pixels; `seed` moves things a little and changes nothing else."""
    jitter = random.Random(f"draw {scene.key} {seed}")
    full = size * OVERSAMPLING
    image = _background(scene.place, full, jitter)
    canvas = ImageDraw.Draw(image)
    for box in layout(scene, jitter):
        DRAWINGS[box.thing.kind](Brush(canvas, full, box))
    return image.resize((size, size), Image.Resampling.LANCZOS)


@lru_cache(maxsize=4096)  # some 10 MB: a process that reads a suite twice, or two suites of the same scenes, draws them once
def png(scene: Scene, size: int, seed: int = 0) -> bytes:
    """The scene as PNG."""
    buffer = io.BytesIO()
    draw(scene, size, seed).save(buffer, "PNG")
    return buffer.getvalue()


def _background(place: str, full: int, jitter: random.Random) -> Image.Image:
    top, low, ground = (ImageColor.getrgb(colour)[:3] for colour in GROUNDS[place])
    gradient = Image.linear_gradient("L").resize((full, full))
    image = Image.composite(Image.new("RGB", (full, full), low), Image.new("RGB", (full, full), top), gradient)
    canvas = ImageDraw.Draw(image)

    def rectangle(left: float, upper: float, right: float, lower: float, colour: str | RGB) -> None:
        canvas.rectangle((left * full, upper * full, right * full, lower * full), fill=colour)

    rectangle(0, HORIZON, 1, 1, ground)
    if place == "beach":
        rectangle(0, 0.46, 1, 0.6, "#2b87c8")
    elif place == "grass":
        canvas.ellipse((-0.3 * full, 0.44 * full, 0.7 * full, 0.9 * full), fill="#7ab94e")
        canvas.rectangle((0, 0.66 * full, full, full), fill=ground)
        for _ in range(26):
            x, y = jitter.random() * full, jitter.uniform(0.68, 0.99) * full
            canvas.line((x, y, x + 0.006 * full, y - 0.02 * full), fill="#5c9a38", width=max(1, full // 160))
    elif place == "snow":
        canvas.ellipse((0.3 * full, 0.47 * full, 1.2 * full, 0.8 * full), fill=ground)
        for _ in range(24):
            x, y, r = jitter.random() * full, jitter.uniform(0, 0.5) * full, 0.006 * full
            canvas.ellipse((x - r, y - r, x + r, y + r), fill="#ffffff")
    elif place == "street":
        for index in range(7):
            height = jitter.uniform(0.12, 0.36)
            shade = jitter.choice(("#8f9aa6", "#a0a9b3", "#7f8a96"))
            rectangle(index / 7, HORIZON - height, (index + 1) / 7 - 0.008, HORIZON, shade)
            for row in range(int(height / 0.06)):
                for column in (0.03, 0.085):
                    x, y = index / 7 + column, HORIZON - height + 0.025 + row * 0.06
                    rectangle(x, y, x + 0.025, y + 0.03, "#d8dee4")
        for index in range(5):
            rectangle(index * 0.22 + 0.02, 0.955, index * 0.22 + 0.14, 0.975, "#e8e8e8")
    elif place == "room":
        for index in range(14):
            rectangle(index / 14, 0, index / 14 + 0.004, HORIZON, "#dccbab")
        rectangle(0, HORIZON - 0.012, 1, HORIZON + 0.008, "#ffffff")
        for index in range(1, 5):
            rectangle(0, HORIZON + index * 0.1, 1, HORIZON + index * 0.1 + 0.005, "#9c6f49")
    else:
        for _ in range(24):
            x, y, r = jitter.random() * full, jitter.uniform(0, 0.5) * full, 0.004 * full
            canvas.ellipse((x - r, y - r, x + r, y + r), fill="#ffffff")
        canvas.ellipse((0.84 * full, 0.03 * full, 0.95 * full, 0.14 * full), fill="#f6f0c4")
    return image


class Brush:
    """Draws in the coordinates of one box: (0, 0) is its upper left, (1, 1) its lower right corner."""

    def __init__(self, canvas: ImageDraw.ImageDraw, full: int, box: Box) -> None:
        self.canvas, self.box, self.full = canvas, box, full
        self.colour: RGB = ImageColor.getrgb(PAINT[box.thing.colour])[:3]
        self.dark = self.shade(0.45)
        self.light = self.shade(1.45)
        self.line = max(1, round(0.011 * full))

    def shade(self, factor: float) -> RGB:
        """The thing's colour, darker below 1 and lighter above."""
        if factor <= 1:
            return tuple(round(part * factor) for part in self.colour)  # type: ignore[return-value]
        return tuple(round(255 - (255 - part) * (2 - factor)) for part in self.colour)  # type: ignore[return-value]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the box in pixels."""
        return (self.box.left + x * self.box.width) * self.full, (self.box.top + y * self.box.height) * self.full

    def polygon(self, *points: tuple[float, float], fill: str | RGB | None = None) -> None:
        """A closed shape with an outline."""
        self.canvas.polygon([self.at(*point) for point in points], fill=fill or self.colour, outline=self.dark, width=self.line)

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: str | RGB | None = None) -> None:
        """An upright rectangle with an outline."""
        self.canvas.rectangle(
            (*self.at(left, top), *self.at(right, bottom)), fill=fill or self.colour, outline=self.dark, width=self.line
        )

    def ellipse(self, left: float, top: float, right: float, bottom: float, fill: str | RGB | None = None) -> None:
        """An ellipse with an outline."""
        self.canvas.ellipse(
            (*self.at(left, top), *self.at(right, bottom)), fill=fill or self.colour, outline=self.dark, width=self.line
        )

    def stroke(self, *points: tuple[float, float], fill: str | RGB | None = None, width: float = 1.0) -> None:
        """An open line."""
        self.canvas.line(
            [self.at(*point) for point in points], fill=fill or self.dark, width=max(1, round(self.line * width)), joint="curve"
        )


def _ball(b: Brush) -> None:
    b.ellipse(0, 0, 1, 1)
    b.stroke((0.08, 0.35), (0.5, 0.5), (0.92, 0.35))
    b.stroke((0.5, 0.5), (0.5, 1))
    b.ellipse(0.24, 0.12, 0.44, 0.28, b.light)


def _balloon(b: Brush) -> None:
    b.stroke((0.5, 0.7), (0.58, 0.8), (0.42, 0.9), (0.5, 1), fill="#777777")
    b.ellipse(0, 0, 1, 0.7)
    b.polygon((0.5, 0.68), (0.38, 0.77), (0.62, 0.77))
    b.ellipse(0.2, 0.1, 0.4, 0.26, b.light)


def _bird(b: Brush) -> None:
    b.polygon((0.02, 0.42), (0.02, 0.86), (0.34, 0.66))
    b.ellipse(0.2, 0.36, 0.76, 1)
    b.ellipse(0.58, 0.1, 0.9, 0.5)
    b.polygon((0.86, 0.24), (1, 0.32), (0.86, 0.4), fill="#f2b233")
    b.polygon((0.36, 0), (0.3, 0.62), (0.6, 0.6), fill=b.light)
    b.ellipse(0.73, 0.2, 0.8, 0.29, "#111111")


def _boat(b: Brush) -> None:
    b.stroke((0.5, 0), (0.5, 0.72), width=1.6)
    b.polygon((0.46, 0.06), (0.46, 0.62), (0.1, 0.62), fill=b.light)
    b.polygon((0.55, 0.02), (0.55, 0.62), (0.92, 0.62), fill="#fbfbfb")
    b.polygon((0, 0.68), (1, 0.68), (0.82, 1), (0.18, 1))


def _bus(b: Brush) -> None:
    b.rectangle(0, 0, 1, 0.86)
    for index in range(4):
        b.rectangle(0.06 + index * 0.235, 0.14, 0.235 + index * 0.235, 0.46, "#dff1fb")
    b.stroke((0, 0.6), (1, 0.6))
    for x in (0.12, 0.68):
        b.ellipse(x, 0.7, x + 0.19, 1, "#222222")


def _butterfly(b: Brush) -> None:
    b.ellipse(0, 0, 0.48, 0.58)
    b.ellipse(0.52, 0, 1, 0.58)
    b.ellipse(0.1, 0.5, 0.48, 1, b.light)
    b.ellipse(0.52, 0.5, 0.9, 1, b.light)
    b.ellipse(0.45, 0.12, 0.55, 0.92, "#222222")


def _cake(b: Brush) -> None:
    b.polygon((0.46, 0.16), (0.54, 0.16), (0.54, 0.32), (0.46, 0.32), fill="#fffbe8")
    b.ellipse(0.45, 0, 0.55, 0.17, "#ffcf40")
    b.rectangle(0.16, 0.3, 0.84, 0.6)
    b.rectangle(0.04, 0.6, 0.96, 1)
    b.stroke(
        (0.06, 0.72), (0.2, 0.82), (0.35, 0.72), (0.5, 0.82), (0.65, 0.72), (0.8, 0.82), (0.94, 0.72), fill="#ffffff", width=1.5
    )


def _car(b: Brush) -> None:
    b.polygon((0.2, 0.42), (0.32, 0), (0.7, 0), (0.84, 0.42))
    b.polygon((0.28, 0.4), (0.36, 0.1), (0.5, 0.1), (0.5, 0.4), fill="#dff1fb")
    b.polygon((0.54, 0.4), (0.54, 0.1), (0.67, 0.1), (0.76, 0.4), fill="#dff1fb")
    b.rectangle(0, 0.4, 1, 0.82)
    for x in (0.12, 0.66):
        b.ellipse(x, 0.62, x + 0.22, 1, "#222222")


def _cat(b: Brush) -> None:
    b.stroke((0.76, 0.9), (0.97, 0.8), (0.94, 0.56), fill=b.colour, width=3)
    b.ellipse(0.16, 0.44, 0.82, 1)
    b.polygon((0.16, 0.3), (0.18, 0), (0.44, 0.16))
    b.polygon((0.82, 0.3), (0.8, 0), (0.54, 0.16))
    b.ellipse(0.14, 0.1, 0.84, 0.6)
    for x in (0.32, 0.58):
        b.ellipse(x, 0.28, x + 0.09, 0.38, "#111111")
    b.polygon((0.45, 0.42), (0.53, 0.42), (0.49, 0.47), fill="#333333")


def _chair(b: Brush) -> None:
    for x in (0.08, 0.76):
        b.rectangle(x, 0.2, x + 0.16, 1)
    b.rectangle(0.16, 0.55, 0.84, 0.68)
    b.rectangle(0, 0, 1, 0.24)


def _cup(b: Brush) -> None:
    b.ellipse(0.62, 0.22, 1, 0.72, b.light)
    b.ellipse(0.72, 0.34, 0.9, 0.6, "#fdfdfd")
    b.polygon((0.02, 0), (0.78, 0), (0.7, 1), (0.1, 1))
    b.stroke((0.05, 0.16), (0.76, 0.16), fill=b.light, width=1.4)


def _flower(b: Brush) -> None:
    b.stroke((0.5, 0.5), (0.5, 1), fill="#2c7a2c", width=2)
    b.polygon((0.5, 0.84), (0.82, 0.66), (0.74, 0.88), fill="#3f9a3f")
    for index in range(6):
        x, y = 0.5 + 0.3 * math.cos(index * math.pi / 3), 0.3 + 0.19 * math.sin(index * math.pi / 3)
        b.ellipse(x - 0.21, y - 0.13, x + 0.21, y + 0.13)
    b.ellipse(0.34, 0.2, 0.66, 0.4, "#fff3b0")


def _hat(b: Brush) -> None:
    b.ellipse(0, 0.72, 1, 1)
    b.polygon((0.24, 0), (0.76, 0), (0.8, 0.86), (0.2, 0.86))
    b.polygon((0.215, 0.62), (0.785, 0.62), (0.8, 0.78), (0.2, 0.78), fill="#fbfbfb")


def _house(b: Brush) -> None:
    b.rectangle(0.1, 0.42, 0.9, 1)
    b.polygon((0, 0.45), (0.5, 0), (1, 0.45), fill=b.shade(0.7))
    b.rectangle(0.4, 0.64, 0.6, 1, "#fbf4e4")
    for x in (0.17, 0.68):
        b.rectangle(x, 0.54, x + 0.15, 0.72, "#dff1fb")


def _kite(b: Brush) -> None:
    b.stroke((0.5, 0.72), (0.62, 0.8), (0.42, 0.88), (0.54, 1))
    b.polygon((0.5, 0), (1, 0.3), (0.5, 0.74), (0, 0.3))
    b.polygon((0.5, 0), (1, 0.3), (0.5, 0.3), fill=b.light)
    b.polygon((0.5, 0.74), (0, 0.3), (0.5, 0.3), fill=b.light)


def _lamp(b: Brush) -> None:
    b.rectangle(0.44, 0.4, 0.56, 0.94, "#9a9a9a")
    b.ellipse(0.16, 0.86, 0.84, 1, "#9a9a9a")
    b.polygon((0.26, 0), (0.74, 0), (1, 0.48), (0, 0.48))
    b.stroke((0.1, 0.42), (0.9, 0.42), fill="#fff6c8", width=1.6)


def _table(b: Brush) -> None:
    for x in (0.06, 0.84):
        b.rectangle(x, 0.2, x + 0.1, 1, b.shade(0.75))
    b.rectangle(0, 0, 1, 0.26)


def _tree(b: Brush) -> None:
    b.rectangle(0.42, 0.66, 0.58, 1, "#8a6a4a")
    b.polygon((0.5, 0), (0.92, 0.42), (0.08, 0.42))
    b.polygon((0.5, 0.2), (1, 0.74), (0, 0.74))


DRAWINGS: Mapping[str, Callable[[Brush], None]] = {
    "ball": _ball, "balloon": _balloon, "bird": _bird, "boat": _boat, "bus": _bus, "butterfly": _butterfly, "cake": _cake,
    "car": _car, "cat": _cat, "chair": _chair, "cup": _cup, "flower": _flower, "hat": _hat, "house": _house, "kite": _kite,
    "lamp": _lamp, "table": _table, "tree": _tree,
}  # fmt: skip
