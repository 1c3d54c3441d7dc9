"""Generated scenes: coloured shapes in spatial relations, and captions that can be checked.

A scene holds one to three shapes that never overlap. A caption says something about it in this
grammar (capitals and punctuation are ignored, any other word is ungrammatical):

    caption  = [opening] [total] things
             | [opening] [total] (mention place | things relation things)
             | mention verb place | things verb relation things
             | place [verb] mention | relation things verb things
             | [opening] [total] mention place and mention place
             | mention verb place and mention verb place
             | place [verb] mention and place [verb] mention
    things   = mention {mention} [and mention]
    mention  = (a | an | one | the | another | two | three) [size] colour kind
    opening  = there is | there are | we see | the picture shows | a picture of
    total    = (one | two | three) (shape | shapes | object | objects)
    verb     = [there] (is | are)

What makes a caption true of a scene:

- Every mention stands for shapes of its own: `a red star` for one that matches, `the` and `one`
  for the only one that matches, `two` for all that match, if they are two. So `a red star and
  another red star` needs two. What is not said (a size, a third shape) may be anything.
- A relation holds between every shape on its left and every shape on its right. One shape is left
  of another if it ends before the other begins; above is likewise.
- `X on the left and Y on the right` compares the two, and means `X is left of Y`. A place said of
  one mention alone is a place in the picture, true where the shape's middle lies clearly in it.
- `two shapes, X and Y` lists all that the picture shows.

Every caption names at least one shape with its colour: `a picture` and `two shapes` are not
captions. `is` and `are`, `a` and `an`, singular and plural must agree; `another` repeats something.
"""

from __future__ import annotations

import colorsys
import itertools
import json
import math
import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from tqdm import tqdm

from common.errors import UserError
from common.files import atomic_write, read_text

SPLITS = ("train", "val", "val_held_out")
SHARES = {1: 3, 2: 7, 3: 2}  # how many scenes have so many shapes, where they may
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
KINDS = ("circle", "square", "triangle", "star", "cross")
SIZES = ("small", "medium", "large")
# Never seen in training. No colour and no kind is missing more than once: of a kind that is seen in
# few colours a network learns no more than what it looks like in these.
HELD_OUT = frozenset(
    {("red", "star"), ("orange", "square"), ("purple", "triangle"), ("yellow", "cross")}
)
SEEN = tuple(pair for pair in itertools.product(COLOURS, KINDS) if pair not in HELD_OUT)

# Shares of the picture's side.
RADII = {"small": 0.105, "medium": 0.15, "large": 0.21}
BORDER = 0.015
EDGE = 0.02  # width of the dark line around every shape: a form that is the same in all colours
DARK = (24, 24, 28)
GAP = 0.05  # shapes that are said to be beside each other are at least so far apart

# Degrees of hue, and the brightness with which the colour keeps its name (dark orange is brown).
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

# Corners as (distance from the middle in radii, angle in degrees).
_ARM = ((1.26, -13.0), (1.26, 13.0), (0.4, 45.0))
CORNERS: dict[str, list[tuple[float, float]]] = {
    "circle": [(1.0, 5.625 * k) for k in range(64)],
    "square": [(1.27, 45 + 90 * k) for k in range(4)],
    "triangle": [(1.3, 90 + 120 * k) for k in range(3)],
    "star": [((1.3, 0.54)[k % 2], 90 + 36 * k) for k in range(10)],
    "cross": [(reach, 90 * k + angle) for k in range(4) for reach, angle in _ARM],
}

RGB = tuple[int, int, int]
Place = tuple[int | None, int | None]  # column and row, in thirds of the picture
T = TypeVar("T")


@dataclass(frozen=True)
class Shape:
    """One coloured shape.

    Args:
        colour, kind, size: what it is called, of COLOURS, KINDS and SIZES.
        x, y: its middle, as a share of the picture's side, from the top left corner.
        radius: share of the picture's side; circles have it, other kinds look equally large.
        rotation: degrees.
        rgb: the colour as drawn.
    """

    colour: str
    kind: str
    size: str
    x: float
    y: float
    radius: float
    rotation: float
    rgb: RGB

    def outline(self) -> list[tuple[float, float]]:
        """The corners (x, y), as shares of the picture's side; a circle has 64."""
        return [
            (
                self.x + self.radius * reach * math.cos(math.radians(angle + self.rotation)),
                self.y - self.radius * reach * math.sin(math.radians(angle + self.rotation)),
            )
            for reach, angle in CORNERS[self.kind]
        ]

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is drawn."""
        columns, rows = zip(*self.outline(), strict=True)
        return min(columns), min(rows), max(columns), max(rows)


@dataclass(frozen=True)
class Scene:
    """A picture of one to three shapes, and all that can truly be said about it.

    Args:
        shapes: in no particular order; they do not overlap.
        background: two colours that flow into each other.
        angle: the direction in which they do, in degrees.
        seed: of the background's texture and of the wording of `captions`.
    """

    shapes: tuple[Shape, ...]
    background: tuple[RGB, RGB]
    angle: float
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.shapes) <= 3:
            raise ValueError(f"a scene has 1 to 3 shapes, not {len(self.shapes)}")

    @property
    def has_held_out(self) -> bool:
        """Whether a colour and a kind meet in it that never meet in training."""
        return any((shape.colour, shape.kind) in HELD_OUT for shape in self.shapes)

    def draw(self, size: int = 64) -> Image.Image:
        """The picture, RGB, `size` pixels wide and high; the same at every call."""
        image = Image.fromarray(_background(self, size))
        side = 4 * size  # Pillow's polygons have hard edges: they are drawn larger, then reduced
        for shape in self.shapes:
            corners = [(side * x - 0.5, side * y - 0.5) for x, y in shape.outline()]
            inside, line = Image.new("L", (side, side)), Image.new("L", (side, side))
            ImageDraw.Draw(inside).polygon(corners, fill=255)
            width = max(1, round(2 * EDGE * side))  # of which one half lies inside
            ImageDraw.Draw(line).line([*corners, *corners[:2]], fill=255, width=width)
            image.paste(shape.rgb, mask=inside.reduce(4))
            image.paste(DARK, mask=ImageChops.darker(inside, line).reduce(4))
        return image

    def captions(self) -> list[str]:
        """Five true captions, each worded in another way; the same at every call."""
        return _Writer(self).captions()

    def is_true(self, caption: str) -> bool:
        """Whether the caption is grammatical and says nothing false about this scene."""
        statement = parse(caption)
        return statement is not None and statement.holds(self.shapes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` makes an equal scene of them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scene:
        """The scene that `to_dict` described.

        Raises:
            ValueError: the values do not describe a scene; the message says why.
        """
        try:
            shapes = tuple(Shape(**{**each, "rgb": _rgb(each["rgb"])}) for each in values["shapes"])
            first, second = (_rgb(colour) for colour in values["background"])
            scene = cls(shapes, (first, second), float(values["angle"]), int(values["seed"]))
        except KeyError as error:
            raise ValueError(f"no {error} in it") from None
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a scene: {error}") from None
        for shape in shapes:
            if not (shape.colour in COLOURS and shape.kind in KINDS and shape.size in SIZES):
                raise ValueError(f"no such shape: {shape.size} {shape.colour} {shape.kind}")
            if not all(0 <= share <= 1 for share in (shape.x, shape.y, shape.radius)):
                raise ValueError(f"a {shape.kind} outside of the picture")
        return scene


def _rgb(values: Iterable[float]) -> RGB:
    red, green, blue = (min(max(round(value), 0), 255) for value in values)
    return red, green, blue


def _background(scene: Scene, size: int) -> np.ndarray:
    """Two colours in a ramp, with soft blotches and fine grain: (size, size, 3), uint8."""
    ramp = np.linspace(-0.5, 0.5, size) / math.sqrt(2)
    angle = math.radians(scene.angle)
    share = 0.5 + ramp * math.cos(angle) + ramp[:, None] * math.sin(angle)  # (size, size)
    first, second = (np.array(colour, np.float32) for colour in scene.background)
    source = random.Random(scene.seed)
    blotches = Image.frombytes("L", (6, 6), source.randbytes(36))
    blotches = blotches.resize((size, size), Image.Resampling.BICUBIC)
    grain = np.frombuffer(source.randbytes(size * size), np.uint8).reshape(size, size)
    texture = (np.asarray(blotches, np.float32) - 128) * 0.12 + (grain - 128.0) * 0.04
    picture = first + share[:, :, None] * (second - first) + texture[:, :, None]
    return np.clip(picture, 0, 255).astype(np.uint8)


# --- making scenes --------------------------------------------------------------------------------


def generate(seed: int, index: int, split: str = "train", most: int = 2, fewest: int = 1) -> Scene:
    """The scene at `index` of a split: a function of the arguments, however many are made.

    Args:
        seed: of the whole data set.
        index: 0, 1, 2, ...
        split: "train" or "val" (only combinations of colour and kind that are not in HELD_OUT), or
            "val_held_out" (at least one that is, in every scene).
        most, fewest: shapes in a scene; 1 to 3. Where all scenes have as many, a model need not count.

    Raises:
        ValueError: there is no such split, or no such number of shapes.
    """
    if split not in SPLITS or not 1 <= fewest <= most <= 3:
        raise ValueError(f"{split!r} is none of {SPLITS}, or {fewest} to {most} is not in 1 to 3")
    rng = random.Random(f"scene {seed} {split} {index}")
    counts = range(fewest, most + 1)
    count = rng.choices(counts, [SHARES[number] for number in counts])[0]
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
    """A shape of any size, in the top left corner."""
    size = rng.choice(SIZES)
    radius = round(RADII[size] * rng.uniform(0.94, 1.06), 4)
    rotation = round(rng.uniform(-14, 14), 1)
    hue, darkest, brightest = HUES[colour]
    light = rng.uniform(darkest, brightest)
    rgb = _from_hsv((hue + rng.uniform(-5, 5)) / 360 % 1, rng.uniform(0.8, 1), light)
    return Shape(colour, kind, size, 0.0, 0.0, radius, rotation, rgb)


def _soft_colour(rng: random.Random, light: float) -> RGB:
    return _from_hsv(rng.random(), rng.uniform(0, 0.18), min(max(light, 0.25), 0.88))


def _from_hsv(*hsv: float) -> RGB:
    return _rgb(255 * channel for channel in colorsys.hsv_to_rgb(*hsv))


def _placed(rng: random.Random, shapes: Sequence[Shape]) -> list[Shape] | None:
    """The shapes, moved to where no relation is in doubt; None if no such places were found."""
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
    """A place on one axis for a shape that reaches from low to high around its middle."""
    least, most = BORDER - low, 1 - BORDER - high
    # Of a shape alone it is said where it is, so it lies clearly in a third: see `_third`.
    ranges = [(least, 0.34), (0.44, 0.56), (0.66, most)] if alone else [(least, most)]
    return round(rng.uniform(*rng.choice(ranges)), 4)


def _clear(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes are beside each other on an axis, and on neither axis it is in doubt."""
    beside = False
    for low, high in ((0, 2), (1, 3)):
        gap = max(one[low], other[low]) - min(one[high], other[high])
        if -0.5 * min(one[high] - one[low], other[high] - other[low]) < gap < GAP:
            return False
        beside = beside or gap >= GAP
    return beside


# --- what can be said -----------------------------------------------------------------------------


def _third(middle: float) -> int | None:
    """The third of the picture, 0 to 2, that a middle lies in; None where people would disagree."""
    for third, (low, high) in enumerate(((0.0, 0.36), (0.42, 0.58), (0.64, 1.0))):
        if low <= middle <= high:
            return third
    return None


def _related(relation: str, one: Shape, other: Shape) -> bool:
    if relation in ("right", "below"):
        return _related(OPPOSITE[relation], other, one)
    start, end = (0, 2) if relation == "left" else (1, 3)
    return one.box[end] < other.box[start]


@dataclass(frozen=True)
class Mention:
    """Words for shapes that look the same: `the small red star`, `two red stars`."""

    determiner: str
    size: str | None
    colour: str
    kind: str

    @property
    def number(self) -> int:
        return DETERMINERS[self.determiner]

    def fits(self, shape: Shape) -> bool:
        said = (self.size or shape.size, self.colour, self.kind)
        return said == (shape.size, shape.colour, shape.kind)

    def repeats(self, other: Mention) -> bool:
        """Whether the same was said before, or more, so that "another" may stand here."""
        said = (self.colour, self.kind) == (other.colour, other.kind)
        return said and self.size in (None, other.size)

    def readings(self, shapes: Sequence[Shape]) -> list[tuple[int, ...]]:
        """What this may stand for: each a set of shapes, by their indices."""
        fitting = tuple(index for index, shape in enumerate(shapes) if self.fits(shape))
        if self.determiner in ("a", "an", "another"):
            return [(index,) for index in fitting]
        return [fitting] if len(fitting) == self.number else []


@dataclass(frozen=True)
class Statement:
    """What a caption says.

    Args:
        subjects, objects: what is mentioned before and after the relation.
        relation: "left", "right", "above" or "below": what every subject is of every object.
        place: (column, row) of every subject, in thirds of the picture; None leaves it open.
        total: the number of shapes in the picture, all of them mentioned.
    """

    subjects: tuple[Mention, ...]
    relation: str = ""
    objects: tuple[Mention, ...] = ()
    place: Place = (None, None)
    total: int | None = None

    def holds(self, shapes: Sequence[Shape]) -> bool:
        """Whether all of this is true of a scene of these shapes."""
        mentions = self.subjects + self.objects
        number = sum(mention.number for mention in mentions)
        if number > len(shapes) or self.total is not None and {number, self.total} != {len(shapes)}:
            return False
        for reading in itertools.product(*(mention.readings(shapes) for mention in mentions)):
            meant = [[shapes[index] for index in indices] for indices in reading]
            disjoint = len({index for indices in reading for index in indices}) == number
            if disjoint and self._holds_of(sum(meant[: len(self.subjects)], []), meant):
                return True
        return False

    def _holds_of(self, subjects: list[Shape], meant: list[list[Shape]]) -> bool:
        if not all(_lies_in(self.place, shape) for shape in subjects):
            return False
        objects = sum(meant[len(self.subjects) :], [])
        return all(_related(self.relation, *pair) for pair in itertools.product(subjects, objects))


def _lies_in(place: Place, shape: Shape) -> bool:
    where = (_third(shape.x), _third(shape.y))
    return all(said in (None, third) for said, third in zip(place, where, strict=True))


# --- the words ------------------------------------------------------------------------------------

COLOUR_WORDS = {**{colour: colour for colour in COLOURS}, "violet": "purple"}
KIND_WORDS = {**{kind: kind for kind in KINDS}, "disc": "circle", "box": "square"}
SIZE_WORDS = {**{size: size for size in SIZES}, "little": "small", "big": "large"}
NUMBERS = {"one": 1, "two": 2, "three": 3}
DETERMINERS = {"a": 1, "an": 1, "the": 1, "another": 1, **NUMBERS}
RELATIONS = {
    "to the left of": "left",
    "left of": "left",
    "to the right of": "right",
    "right of": "right",
    "above": "above",
    "over": "above",
    "below": "below",
    "under": "below",
}
SIDES = {
    "on the left": "left",
    "on the right": "right",
    "at the top": "above",
    "at the bottom": "below",
}
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
PLACES: dict[str, Place] = {
    "on the left": (0, None),
    "on the right": (2, None),
    "at the top": (None, 0),
    "at the bottom": (None, 2),
    "in the middle": (1, 1),
    "in the top left corner": (0, 0),
    "in the upper left corner": (0, 0),
    "in the top right corner": (2, 0),
    "in the upper right corner": (2, 0),
    "in the bottom left corner": (0, 2),
    "in the lower left corner": (0, 2),
    "in the bottom right corner": (2, 2),
    "in the lower right corner": (2, 2),
}
COPULAS = {"is": "is", "are": "are"}
THERE = {"there is": "is", "there are": "are"}
VERBS = {**THERE, **COPULAS}
OPENINGS = {**THERE, "we see": "", "the picture shows": "", "a picture of": ""}
PLURALS = {word + ("es" if word[-1] in "sx" else "s"): kind for word, kind in KIND_WORDS.items()}
TOTALS = {"one shape": 1, "two shapes": 2, "three shapes": 3}
TOTALS |= {"one object": 1, "two objects": 2, "three objects": 3}


class _Ungrammatical(Exception):
    pass


def parse(caption: str) -> Statement | None:
    """What a caption says, or None if the grammar of this module does not have it."""
    try:
        return _Parser(caption).caption()
    except _Ungrammatical:
        return None


class _Parser:
    """Reads a caption from left to right; the grammar needs no going back."""

    def __init__(self, caption: str) -> None:
        self.words = re.sub(r"[.,:;!?]", " ", caption.lower()).split()
        self.position = 0
        self.mentions: list[Mention] = []

    def caption(self) -> Statement:
        if place := self.phrase(PLACES):
            statement = self.after_place(place)
        elif relation := self.take(RELATIONS):
            objects, verb = self.things(), self.take(VERBS) or self.fail()
            statement = Statement(self.things(verb), relation, objects)
        else:
            statement = self.things_first()
        return statement if self.position == len(self.words) else self.fail()

    def after_place(self, place: str) -> Statement:
        mention = self.things(self.take(VERBS), single=True)
        if not self.phrase(("and",)):
            return Statement(mention, place=PLACES[place])
        relation = self.comparison(place)
        return Statement(mention, relation, self.things(self.take(VERBS), single=True))

    def things_first(self) -> Statement:
        opening, total = self.take(OPENINGS), self.take(TOTALS)
        if total is not None:
            self.agree(opening, total)
        subjects = self.things(opening if total is None else None)
        verb = self.take(COPULAS) if opening is None and total is None else None
        self.agree(verb, sum(mention.number for mention in subjects))
        if relation := self.take(RELATIONS):
            return Statement(subjects, relation, self.things(), total=total)
        place = self.phrase(PLACES)
        if place is None:
            return self.fail() if verb else Statement(subjects, total=total)
        if len(subjects) > 1:
            self.fail()  # "a star and a disc on the left" may be one on the left, or both
        if not self.phrase(("and",)):
            return Statement(subjects, place=PLACES[place], total=total)
        objects = self.things(single=True)
        self.agree((self.take(COPULAS) or self.fail()) if verb else None, objects[0].number)
        return Statement(subjects, self.comparison(place), objects, total=total)

    def things(self, verb: str | None = None, single: bool = False) -> tuple[Mention, ...]:
        """A mention or a list of them, with which a verb before it agrees."""
        things, joined = [self.mention()], True
        while not single:
            start = self.position
            joined_here = self.phrase(("and",)) is not None
            if self.next() not in DETERMINERS:
                self.position = start
                break
            things.append(self.mention())
            joined = joined_here
        # "there is a star and a disc" is good English, "are" is as well
        self.agree(verb, things[0].number if verb == "is" else sum(m.number for m in things))
        return tuple(things) if joined else self.fail()

    def mention(self) -> Mention:
        determiner = self.phrase(DETERMINERS) or self.fail()
        if determiner in ("a", "an") and (determiner == "an") != (self.next() == "orange"):
            self.fail()
        size = self.take(SIZE_WORDS)
        colour = self.take(COLOUR_WORDS) or self.fail()
        kind = self.take(KIND_WORDS if DETERMINERS[determiner] == 1 else PLURALS) or self.fail()
        mention = Mention(determiner, size, colour, kind)
        if determiner == "another" and not any(mention.repeats(said) for said in self.mentions):
            self.fail()
        self.mentions.append(mention)
        return mention

    def next(self) -> str:
        return self.words[self.position] if self.position < len(self.words) else ""

    def comparison(self, side: str) -> str:
        """The relation that "on the left", read before, and the opposite side, read now, say."""
        other = self.take(SIDES)
        return SIDES[side] if other and SIDES.get(side) == OPPOSITE[other] else self.fail()

    def agree(self, verb: str | None, number: int) -> None:
        if verb and verb != ("is" if number == 1 else "are"):
            self.fail()

    def take(self, table: Mapping[str, T]) -> T | None:
        """What the next words mean, if the table has them; then they are read."""
        phrase = self.phrase(table)
        return None if phrase is None else table[phrase]

    def phrase(self, phrases: Iterable[str]) -> str | None:
        for phrase in phrases:
            end = self.position + len(phrase.split())
            if self.words[self.position : end] == phrase.split():
                self.position = end
                return phrase
        return None

    def fail(self) -> NoReturn:
        raise _Ungrammatical


class _Writer:
    """Says true things about a scene, in words chosen by the scene's own seed."""

    def __init__(self, scene: Scene) -> None:
        self.shapes = scene.shapes
        self.rng = random.Random(f"captions {scene.seed}")
        self.mentions: list[Mention] = []  # of the caption that is being written

    def captions(self) -> list[str]:
        pair = (self.related, self.relation_first, self.sides)
        ways = {1: (self.placed, self.place_first, self.opened_place), 2: pair, 3: pair}
        captions: list[str] = []
        for way in (*ways[len(self.shapes)], self.listed, self.counted):
            caption = self.written(way)
            while caption in captions:
                caption = self.written(way)
            captions.append(caption)
        self.rng.shuffle(captions)
        return captions

    def written(self, way: Callable[[], str]) -> str:
        self.mentions.clear()
        return way()

    def placed(self) -> str:
        """a red star is on the left"""
        return f"{self.mention(0, the=0.3)} {self.rng.choice(('', 'is '))}{self.place()}"

    def place_first(self) -> str:
        """on the left there is a red star"""
        return f"{self.place()} {self.rng.choice(('there is', 'is'))} {self.mention(0)}"

    def opened_place(self) -> str:
        """the picture shows a red star on the left"""
        return f"{self.opening(1)} {self.mention(0)} {self.place()}"

    def related(self) -> str:
        """a red star is above a blue box"""
        one, other = self.rng.sample(range(len(self.shapes)), 2)
        opening = f"{self.opening(1)} " if self.rng.random() < 0.3 else ""
        verb, the = ("", 0.0) if opening else (self.rng.choice(("is ", "")), 0.3)
        relation = self.phrase(RELATIONS, self.relation(one, other))
        return f"{opening}{self.mention(one, the)} {verb}{relation} {self.mention(other, the)}"

    def relation_first(self) -> str:
        """above a blue box there is a red star"""
        one, other = self.rng.sample(range(len(self.shapes)), 2)
        relation = self.phrase(RELATIONS, self.relation(one, other))
        ground = self.mention(other, the=0.3)
        return f"{relation} {ground} {self.rng.choice(('there is', 'is'))} {self.mention(one)}"

    def sides(self) -> str:
        """on the left a red star and on the right a blue box, or with the places behind"""
        one, other = self.rng.sample(range(len(self.shapes)), 2)
        relation = self.relation(one, other)
        side, opposite = self.phrase(SIDES, relation), self.phrase(SIDES, OPPOSITE[relation])
        first, second = self.mention(one), self.mention(other)
        if self.rng.random() < 0.5:
            return f"{side} {first} and {opposite} {second}"
        return f"{first} {side} and {second} {opposite}"

    def listed(self) -> str:
        """there is a red star and a blue box"""
        things = self.things()
        return f"{self.opening(self.mentions[0].number)} {things}"

    def counted(self) -> str:
        """the picture shows two shapes, a red star and a blue box"""
        count = len(self.shapes)
        opening = f"{self.opening(count)} " if self.rng.random() < 0.5 else ""
        return f"{opening}{self.phrase(TOTALS, count)}, {self.things()}"

    def things(self) -> str:
        """All shapes, in any order; two that look alike may come as "two red stars"."""
        parts, rest = [], self.rng.sample(range(len(self.shapes)), len(self.shapes))
        while rest:
            mention = self.meant(rest[0], "two")
            alike = [index for index, shape in enumerate(self.shapes) if mention.fits(shape)]
            if len(alike) != 2 or not set(alike) <= set(rest):
                mention, alike = replace(mention, determiner="a"), rest[:1]
            parts.append(self.said(mention))
            rest = [index for index in rest if index not in alike]
        return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)

    def mention(self, index: int, the: float = 0.0) -> str:
        """Words for a shape; with this probability they begin with "the", where it may stand."""
        mention = self.meant(index, "a")
        unique = sum(mention.fits(shape) for shape in self.shapes) == 1
        if self.rng.random() < the and unique:
            mention = replace(mention, determiner="the")
        return self.said(mention)

    def meant(self, index: int, determiner: str) -> Mention:
        shape = self.shapes[index]
        size = shape.size if self.rng.random() < 0.5 else None
        return Mention(determiner, size, shape.colour, shape.kind)

    def said(self, mention: Mention) -> str:
        size = [self.phrase(SIZE_WORDS, mention.size)] if mention.size else []
        kind = self.phrase(KIND_WORDS if mention.number == 1 else PLURALS, mention.kind)
        words = [*size, self.phrase(COLOUR_WORDS, mention.colour), kind]
        determiner = mention.determiner
        if determiner == "a" and any(mention.repeats(said) for said in self.mentions):
            determiner = "another"
        elif determiner == "a" and words[0] == "orange":
            determiner = "an"
        self.mentions.append(mention)
        return " ".join([determiner, *words])

    def relation(self, one: int, other: int) -> str:
        pair = self.shapes[one], self.shapes[other]
        return self.rng.choice([relation for relation in OPPOSITE if _related(relation, *pair)])

    def place(self) -> str:
        shape = self.shapes[0]
        return self.rng.choice([name for name, place in PLACES.items() if _lies_in(place, shape)])

    def opening(self, number: int) -> str:
        wrong = "are" if number == 1 else "is"
        return self.rng.choice([words for words, verb in OPENINGS.items() if verb != wrong])

    def phrase(self, table: Mapping[str, T], meaning: T) -> str:
        """Words for a meaning, of those that the table has."""
        return self.rng.choice([words for words, means in table.items() if means == meaning])


# --- the data set ---------------------------------------------------------------------------------


def write_scenes(
    folder: str | os.PathLike[str],
    train: int = 4000,
    val: int = 400,
    held_out: int = 400,
    seed: int = 0,
    size: int = 64,
    most: int = 2,
    fewest: int = 1,
) -> None:
    """Write a data set: a PNG image per scene, and `scenes.jsonl`, which says all about them.

    Its lines are `{"image": "train/000001.png", "split": "train", "size": 64, "captions": [...],
    "scene": {...}}`. The folder appears when all of it is written, so that a call that was killed
    leaves nothing that could be taken for a data set. Where the same data set is already,
    nothing is done.

    Args:
        folder: made by this call, or empty.
        train, val, held_out: the number of scenes in the splits `train`, `val` and `val_held_out`.
        seed: of all scenes.
        size: width and height of the images in pixels.
        most, fewest: shapes in a scene; 1 to 3.

    Raises:
        UserError: the folder holds anything else.
        ValueError: a number is out of range.
    """
    counts = dict(zip(SPLITS, (train, val, held_out), strict=True))
    if min(counts.values()) < 0 or size < 1 or not 1 <= fewest <= most <= 3:
        raise ValueError(
            f"cannot make {counts} scenes of {size} pixels and {fewest} to {most} shapes"
        )
    folder = Path(folder)
    lines = _lines(counts, seed, size, most, fewest)
    if folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        _check_same(folder, lines, sum(counts.values()))
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for split in SPLITS:
            (unfinished / split).mkdir()
        with atomic_write(unfinished / "scenes.jsonl") as file:
            for name, scene, line in tqdm(lines, "drawing scenes", sum(counts.values())):
                scene.draw(size).save(unfinished / name, compress_level=1)
                file.write(line)
        unfinished.chmod(0o755)  # mkdtemp makes folders that nobody else may read
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _lines(
    counts: Mapping[str, int], seed: int, size: int, most: int, fewest: int
) -> Iterator[tuple[str, Scene, str]]:
    """The name of the image, the scene, and its line in scenes.jsonl."""
    for split, count in counts.items():
        for index in range(count):
            scene, name = generate(seed, index, split, most, fewest), f"{split}/{index:06d}.png"
            line = {"image": name, "split": split, "size": size, "captions": scene.captions()}
            yield name, scene, json.dumps({**line, "scene": scene.to_dict()}) + "\n"


def _check_same(folder: Path, lines: Iterable[tuple[str, Scene, str]], count: int) -> None:
    """Raise UserError unless the folder holds just the data set that would be written."""
    path = folder / "scenes.jsonl"
    if not path.is_file():
        raise UserError(f"{folder} holds other files. Choose a new folder for the scenes.")
    there = [line + "\n" for line in read_text(path).split("\n")[:-1]]
    same = len(there) == count and all(
        line == expected and (folder / name).is_file()
        for (name, _, expected), line in zip(lines, there, strict=True)
    )
    if not same:
        raise UserError(
            f"{folder} holds scenes that were made with other settings, or are damaged. "
            "Choose another folder, or delete this one."
        )


def read_scenes(folder: str | os.PathLike[str], split: str | None = None) -> dict[str, Scene]:
    """The scenes of a data set, or of one split of it, by the name of their image.

    Raises:
        UserError: `scenes.jsonl` is missing, or a line of it is malformed (the line is named).
    """
    path = Path(folder) / "scenes.jsonl"
    scenes = {}
    for number, line in enumerate(read_text(path).strip("\n").split("\n"), start=1):
        try:
            entry = json.loads(line)
            if split in (None, entry["split"]):
                scenes[str(entry["image"])] = Scene.from_dict(entry["scene"])
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path}:{number}: not a scene ({error}). Make the data set again."
            ) from None
    return scenes


def true_share(captions: Mapping[str, str], scenes: Mapping[str, Scene]) -> float:
    """The share of captions that are true of their scene, between 0 and 1.

    Args:
        captions: one caption for each id.
        scenes: the scenes of these ids, and perhaps others.

    Raises:
        ValueError: there is no caption, or a caption has no scene.
    """
    if not captions:
        raise ValueError("no captions to check")
    if missing := [name for name in captions if name not in scenes]:
        raise ValueError(f"{len(missing)} captions have no scene, the first is {missing[0]!r}")
    return sum(scenes[name].is_true(caption) for name, caption in captions.items()) / len(captions)
