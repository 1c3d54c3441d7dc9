"""Random scenes: a function of a seed, a split and an index."""

from __future__ import annotations

import colorsys
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

from common.synthetic.scenes.scene import HELD_OUT, Scene
from common.synthetic.scenes.shapes import COLOURS, KINDS, RGB, SIZES, Shape, rgb

SPLITS = ("train", "val", "val_held_out")
COUNT_WEIGHTS = {1: 3, 2: 7, 3: 2}  # relative frequency of each number of shapes
SEEN = tuple(pair for pair in itertools.product(COLOURS, KINDS) if pair not in HELD_OUT)

# Fractions of the picture's side.
RADII = {"small": 0.105, "medium": 0.15, "large": 0.21}
BORDER = 0.015
GAP = 0.05  # least distance on an axis on which a relation between two shapes holds

# Hue in degrees, and the range of brightness in which the colour has its name (dark orange is brown).
HUES = {
    "red": (0, 0.75, 1.0),
    "orange": (27, 0.92, 1.0),
    "yellow": (54, 0.9, 1.0),
    "green": (125, 0.6, 0.9),
    "cyan": (182, 0.75, 1.0),
    "blue": (222, 0.75, 1.0),
    "purple": (274, 0.6, 0.85),
    "pink": (322, 0.9, 1.0),
}


def generate(seed: int, index: int, split: str = "train", most: int = 2, fewest: int = 1) -> Scene:
    """The scene at `index` of a split: a function of the arguments.

    Args:
        seed: of the whole data set.
        index: 0, 1, 2, ...
        split: "train" or "val" (no combination of colour and kind in HELD_OUT), or "val_held_out"
            (at least one of them in every scene).
        most, fewest: shapes in a scene; 1 to 3. If they are equal, a model need not count.

    Raises:
        ValueError: there is no such split, or no such number of shapes.
    """
    if split not in SPLITS or not 1 <= fewest <= most <= 3:
        raise ValueError(f"{split!r} is none of {SPLITS}, or {fewest} to {most} is not in 1 to 3")
    rng = random.Random(f"scene {seed} {split} {index}")
    counts = range(fewest, most + 1)
    count = rng.choices(counts, [COUNT_WEIGHTS[number] for number in counts])[0]
    allowed = list(itertools.product(COLOURS, KINDS)) if split == "val_held_out" else SEEN
    pairs = [rng.choice(allowed) for _ in range(count)]
    if split == "val_held_out":
        pairs[0] = rng.choice(sorted(HELD_OUT))
    if count > 1 and rng.random() < 0.1:
        pairs[1] = pairs[0]
    rng.shuffle(pairs)
    shapes = None
    while shapes is None:
        shapes = _placed(rng, [_shape(rng, colour, kind) for colour, kind in pairs])
    light = rng.uniform(0.3, 0.85)
    background = (_soft_colour(rng, light), _soft_colour(rng, light + rng.uniform(-0.2, 0.2)))
    return Scene(tuple(shapes), background, round(rng.uniform(0, 360), 1), rng.getrandbits(32))


def _shape(rng: random.Random, colour: str, kind: str) -> Shape:
    """A shape of random size, not placed yet."""
    size = rng.choice(SIZES)
    radius = round(RADII[size] * rng.uniform(0.94, 1.06), 4)
    rotation = round(rng.uniform(-14, 14), 1)
    hue, darkest, brightest = HUES[colour]
    light = rng.uniform(darkest, brightest)
    drawn = _from_hsv((hue + rng.uniform(-5, 5)) / 360 % 1, rng.uniform(0.8, 1), light)
    return Shape(colour, kind, size, 0.0, 0.0, radius, rotation, drawn)


def _soft_colour(rng: random.Random, light: float) -> RGB:
    return _from_hsv(rng.random(), rng.uniform(0, 0.18), min(max(light, 0.25), 0.88))


def _from_hsv(*hsv: float) -> RGB:
    return rgb(255 * channel for channel in colorsys.hsv_to_rgb(*hsv))


def _placed(rng: random.Random, shapes: Sequence[Shape]) -> list[Shape] | None:
    """The shapes at places where each relation clearly holds or not; None if none were found."""
    alone = len(shapes) == 1
    boxes = [shape.box for shape in shapes]
    for _ in range(100):
        to = [(_position(rng, b[0], b[2], alone), _position(rng, b[1], b[3], alone)) for b in boxes]
        pairs = zip(boxes, to, strict=True)
        moved = [(b[0] + x, b[1] + y, b[2] + x, b[3] + y) for b, (x, y) in pairs]
        if all(_clear(one, other) for one, other in itertools.combinations(moved, 2)):
            return [replace(shape, x=x, y=y) for shape, (x, y) in zip(shapes, to, strict=True)]
    return None


def _position(rng: random.Random, low: float, high: float, alone: bool) -> float:
    """A position on one axis for a shape that extends from low to high around its centre."""
    least, most = BORDER - low, 1 - BORDER - high
    # Captions of a single shape name its place, so it lies clearly in a third: see `lies_in`.
    ranges = [(least, 0.34), (0.44, 0.56), (0.66, most)] if alone else [(least, most)]
    return round(rng.uniform(*rng.choice(ranges)), 4)


def _clear(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes are clearly apart on one axis, and clearly apart or overlapping on the other."""
    beside = False
    for low, high in ((0, 2), (1, 3)):
        gap = max(one[low], other[low]) - min(one[high], other[high])
        if -0.5 * min(one[high] - one[low], other[high] - other[low]) < gap < GAP:
            return False
        beside = beside or gap >= GAP
    return beside
