"""Generated scenes: coloured shapes in spatial relations, and captions that can be checked.

A scene holds one to three shapes that never overlap. A caption says something about it in this
grammar (capitals and punctuation are ignored, any other word is ungrammatical):

    caption  = [opening] [total] things
             | [opening] [total] things (place | relation things)   "a star above two small discs"
             | things verb (place | relation things)                "the star is at the top"
             | relation things verb things                          "above the disc there is a star"
             | place [verb] mention
             | [opening] [total] mention place and mention place    "a star at the top and a disc at
             | mention verb place and mention verb place             the bottom"
             | place [verb] mention and place [verb] mention
    things   = mention {mention} [and mention]
    mention  = (a | an | one | the | another | two | three) [size] colour kind
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from common.errors import UserError
from common.files import atomic_write, read_text

SPLITS = ("train", "val", "val_held_out")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
KINDS = ("circle", "square", "triangle", "star", "cross")
SIZES = ("small", "medium", "large")
# Never seen in training: each colour and each kind is missing from a few of its combinations only.
HELD_OUT = frozenset(
    {
        ("red", "star"),
        ("orange", "square"),
        ("yellow", "triangle"),
        ("green", "circle"),
        ("blue", "cross"),
        ("purple", "circle"),
    }
)
SEEN = tuple(pair for pair in itertools.product(COLOURS, KINDS) if pair not in HELD_OUT)

# Shares of the picture's side.
RADII = {"small": 0.095, "medium": 0.14, "large": 0.2}
BORDER = 0.015
GAP = 0.05  # shapes that are said to be beside each other are at least so far apart

# Degrees of hue, and the brightness with which the colour keeps its name (dark orange is brown).
HUES = {
    "red": (0, 0.75, 1.0),
    "orange": (27, 0.92, 1.0),
    "yellow": (54, 0.9, 1.0),
    "green": (125, 0.6, 0.9),
    "blue": (222, 0.75, 1.0),
    "purple": (285, 0.65, 0.9),
}

RGB = tuple[int, int, int]
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
        if self.kind == "circle":
            points = [(1.0, k * 5.625) for k in range(64)]
        elif self.kind == "square":
            points = [(1.27, 45 + 90 * k) for k in range(4)]
        elif self.kind == "triangle":
            points = [(1.3, 90 + 120 * k) for k in range(3)]
        elif self.kind == "star":
            points = [((1.3, 0.54)[k % 2], 90 + 36 * k) for k in range(10)]
        else:
            arm, corner = math.hypot(1.1, 0.4), math.degrees(math.atan2(0.4, 1.1))
            points = [
                (reach, 90 * k + angle)
                for k in range(4)
                for reach, angle in ((arm, -corner), (arm, corner), (0.4 * math.sqrt(2), 45))
            ]
        return [
            (
                self.x + self.radius * reach * math.cos(math.radians(angle + self.rotation)),
                self.y - self.radius * reach * math.sin(math.radians(angle + self.rotation)),
            )
            for reach, angle in points
        ]

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
        detail = (
            4 if size <= 512 else 2
        )  # drawn larger and reduced: Pillow's polygons have hard edges
        for shape in self.shapes:
            mask = Image.new("L", (size * detail, size * detail))
            corners = [
                (x * size * detail - 0.5, y * size * detail - 0.5) for x, y in shape.outline()
            ]
            ImageDraw.Draw(mask).polygon(corners, fill=255)
            image.paste(shape.rgb, mask=mask.reduce(detail))
        return image

    def captions(self) -> list[str]:
        """Five true captions, each worded in another way; the same at every call."""
        return _Writer(self).captions()

    def is_true(self, caption: str) -> bool:
        """Whether the caption is grammatical and says nothing false about this scene."""
        statement = parse(caption)
        return statement is not None and statement.holds(self)

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
            if (names := set(values)) != {field.name for field in fields(cls)}:
                raise ValueError(f"unknown or missing fields among {sorted(names)}")
            shapes = tuple(_shape_from_dict(shape) for shape in values["shapes"])
            first, second = (_rgb(colour) for colour in values["background"])
            return cls(shapes, (first, second), float(values["angle"]), int(values["seed"]))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a scene ({error})") from None


_NUMBERS = ("x", "y", "radius", "rotation")


def _shape_from_dict(values: Mapping[str, Any]) -> Shape:
    shape = Shape(**values)
    for word, allowed in ((shape.colour, COLOURS), (shape.kind, KINDS), (shape.size, SIZES)):
        if word not in allowed:
            raise ValueError(f"{word!r} is none of {', '.join(allowed)}")
    return replace(shape, rgb=_rgb(shape.rgb), **{name: float(values[name]) for name in _NUMBERS})


def _rgb(values: Sequence[int]) -> RGB:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _background(scene: Scene, size: int) -> np.ndarray:
    """Two colours in a ramp, with soft blotches and fine grain: (size, size, 3), uint8."""
    across = np.linspace(-0.5, 0.5, size)
    angle = math.radians(scene.angle)
    ramp = 0.5 + (
        across[None, :] * math.cos(angle) + across[:, None] * math.sin(angle)
    ) / math.sqrt(2)
    first, second = (np.array(colour, dtype=np.float32) for colour in scene.background)
    picture = first + ramp[:, :, None] * (second - first)
    source = random.Random(scene.seed)
    blotches = Image.frombytes("L", (6, 6), source.randbytes(36)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    grain = np.frombuffer(source.randbytes(size * size), np.uint8).reshape(size, size)
    texture = (np.asarray(blotches, np.float32) - 128) * 0.12 + (
        grain.astype(np.float32) - 128
    ) * 0.04
    return np.clip(picture + texture[:, :, None], 0, 255).astype(np.uint8)


# --- making scenes --------------------------------------------------------------------------------


def generate(seed: int, index: int, split: str = "train") -> Scene:
    """The scene at `index` of a split: a function of the arguments, however many are made.

    Args:
        seed: of the whole data set.
        index: 0, 1, 2, ...
        split: "train" or "val" (only combinations of colour and kind that are not in HELD_OUT), or
            "val_held_out" (at least one that is, in every scene).

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: one of {', '.join(SPLITS)}")
    rng = random.Random(f"scene {seed} {split} {index}")
    count = rng.choices((1, 2, 3), weights=(25, 60, 15))[0]
    every = tuple(itertools.product(COLOURS, KINDS))
    pairs = [rng.choice(SEEN if split != "val_held_out" else every) for _ in range(count)]
    if split == "val_held_out" and HELD_OUT.isdisjoint(pairs):
        pairs[rng.randrange(count)] = rng.choice(sorted(HELD_OUT))
    if count > 1 and rng.random() < 0.12:
        pairs[0] = pairs[1] = rng.choice([pair for pair in pairs if pair in HELD_OUT] or pairs)
    shapes = None
    while shapes is None:
        shapes = _placed(rng, [_shape(rng, colour, kind) for colour, kind in pairs])
    first = _soft_colour(rng, rng.uniform(0.08, 0.85))
    second = _soft_colour(rng, max(first) / 255 + rng.uniform(-0.2, 0.2))
    return Scene(tuple(shapes), (first, second), round(rng.uniform(0, 360), 1), rng.getrandbits(32))


def _shape(rng: random.Random, colour: str, kind: str) -> Shape:
    """A shape at the origin, of any size."""
    size = rng.choice(SIZES)
    hue, darkest, brightest = HUES[colour]
    turn = (hue + rng.uniform(-5, 5)) / 360 % 1
    rgb = colorsys.hsv_to_rgb(turn, rng.uniform(0.8, 1), rng.uniform(darkest, brightest))
    radius = round(RADII[size] * rng.uniform(0.94, 1.06), 4)
    rotation = round(rng.uniform(-14, 14), 1)
    return Shape(
        colour, kind, size, 0.0, 0.0, radius, rotation, _rgb([round(255 * c) for c in rgb])
    )


def _soft_colour(rng: random.Random, value: float) -> RGB:
    red, green, blue = colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0, 0.18), min(max(value, 0.05), 0.88)
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def _placed(rng: random.Random, shapes: list[Shape]) -> list[Shape] | None:
    """The shapes, moved to where no relation is in doubt; None if no such places were found."""
    boxes = [shape.box() for shape in shapes]
    for _ in range(50):
        moves = [
            (_position(rng, b[0], b[2], len(boxes)), _position(rng, b[1], b[3], len(boxes)))
            for b in boxes
        ]
        moved = [
            (b[0] + x, b[1] + y, b[2] + x, b[3] + y) for b, (x, y) in zip(boxes, moves, strict=True)
        ]
        if all(_clear(one, other) for one, other in itertools.combinations(moved, 2)):
            return [replace(shape, x=x, y=y) for shape, (x, y) in zip(shapes, moves, strict=True)]
    return None


def _position(rng: random.Random, low: float, high: float, count: int) -> float:
    """A place on one axis for a shape that reaches from low to high around its middle."""
    least, most = BORDER - low, 1 - BORDER - high
    if count > 1:
        return round(rng.uniform(least, most), 4)
    # A shape alone lies clearly in a third: see `_third`.
    return round(rng.uniform(*rng.choice([(least, 0.34), (0.44, 0.56), (0.66, most)])), 4)


def _clear(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes are beside each other on an axis, and on neither axis it is in doubt."""
    beside = False
    for low, high in ((0, 2), (1, 3)):
        gap = max(one[low], other[low]) - min(one[high], other[high])
        shorter = min(one[high] - one[low], other[high] - other[low])
        if gap >= GAP:
            beside = True
        elif gap > -0.5 * shorter:
            return False
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
        one, other, relation = other, one, {"right": "left", "below": "above"}[relation]
    start, end = (0, 2) if relation == "left" else (1, 3)
    return one.box()[end] < other.box()[start]


@dataclass(frozen=True)
class Mention:
    """Words for one shape or for several: "the small red star", "two discs" in any colour's name."""

    determiner: str
    number: int
    size: str | None
    colour: str
    kind: str

    def matches(self, shapes: Sequence[Shape]) -> list[int]:
        """The indices of all shapes that the words fit."""
        return [
            index
            for index, shape in enumerate(shapes)
            if (shape.colour, shape.kind) == (self.colour, self.kind)
            and self.size in (None, shape.size)
        ]

    def readings(self, shapes: Sequence[Shape]) -> list[tuple[int, ...]]:
        """The sets of shapes, by their indices, that this may stand for."""
        matches = self.matches(shapes)
        if self.determiner in ("a", "an", "another"):
            return [(index,) for index in matches]
        return [tuple(matches)] if len(matches) == self.number else []


@dataclass(frozen=True)
class Statement:
    """What a caption says.

    Args:
        subjects, objects: the things before and after the relation.
        relation: "left", "right", "above" or "below", of every subject to every object.
        place: (column, row) in thirds of the picture; None leaves an axis open.
        total: the number of shapes in the picture, all of which are listed.
    """

    subjects: tuple[Mention, ...]
    relation: str | None = None
    objects: tuple[Mention, ...] = ()
    place: tuple[int | None, int | None] = (None, None)
    total: int | None = None

    def holds(self, scene: Scene) -> bool:
        """Whether the scene has shapes of which all of this is true."""
        shapes, mentions = scene.shapes, self.subjects + self.objects
        listed = sum(mention.number for mention in mentions)
        if (
            listed > len(shapes)
            or self.total is not None
            and not self.total == listed == len(shapes)
        ):
            return False
        for reading in itertools.product(*(mention.readings(shapes) for mention in mentions)):
            chosen = list(itertools.chain.from_iterable(reading))
            if len(set(chosen)) == len(chosen) and self._fits(shapes, reading):
                return True
        return False

    def _fits(self, shapes: Sequence[Shape], reading: Sequence[tuple[int, ...]]) -> bool:
        split = len(self.subjects)
        subjects = [shapes[index] for part in reading[:split] for index in part]
        objects = [shapes[index] for part in reading[split:] for index in part]
        column, row = self.place
        return all(
            (column is None or column == _third(shape.x))
            and (row is None or row == _third(shape.y))
            for shape in subjects
        ) and all(
            _related(self.relation, one, other)
            for one, other in itertools.product(subjects, objects)
            if self.relation is not None
        )


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
PLACES: dict[str, tuple[int | None, int | None]] = {
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


def _plural(word: str) -> str:
    return word + ("es" if word.endswith(("s", "x")) else "s")


PLURALS = {_plural(word): kind for word, kind in KIND_WORDS.items()}
TOTALS = {
    f"{number} {noun if count == 1 else _plural(noun)}": count
    for number, count in NUMBERS.items()
    for noun in ("shape", "object")
}


class _Ungrammatical(Exception):
    pass


def parse(caption: str) -> Statement | None:
    """What a caption says, or None if the grammar of this module does not have it."""
    try:
        return _Parser(caption).caption()
    except _Ungrammatical:
        return None


class _Parser:
    """Reads a caption from left to right: the grammar needs no looking back."""

    def __init__(self, caption: str) -> None:
        self.words = re.sub(r"[.,:;!?]", " ", caption.lower()).split()
        self.position = 0
        self.mentioned: set[tuple[str, str]] = set()

    def caption(self) -> Statement:
        if (place := self.phrase(PLACES)) is not None:
            statement = self.place_first(place)
        elif (relation := self.take(RELATIONS)) is not None:
            objects = self.things()
            verb = self.take(VERBS) or self.fail()
            statement = Statement(self.things(verb), relation, objects)
        else:
            statement = self.things_first()
        if self.position < len(self.words):
            self.fail()
        return statement

    def place_first(self, place: str) -> Statement:
        """After "on the left"."""
        mention = self.mention(self.take(VERBS))
        if not self.word("and"):
            return Statement((mention,), place=PLACES[place])
        relation = self.opposite(place, self.phrase(SIDES))
        return Statement((mention,), relation, (self.mention(self.take(VERBS)),))

    def things_first(self) -> Statement:
        opening = self.take(OPENINGS)
        total = self.take(TOTALS)
        if (
            opening in ("is", "are")
            and total is not None
            and opening != ("is" if total == 1 else "are")
        ):
            self.fail()
        subjects = self.things(opening if total is None else None)
        verb = self.take(COPULAS) if opening is None and total is None else None
        if verb is not None and verb != ("is" if sum(m.number for m in subjects) == 1 else "are"):
            self.fail()
        if (relation := self.take(RELATIONS)) is not None:
            return Statement(subjects, relation, self.things(), total=total)
        if (place := self.phrase(PLACES)) is None:
            return Statement(subjects, total=total) if verb is None else self.fail()
        if len(subjects) > 1:
            self.fail()
        if not self.word("and"):
            return Statement(subjects, place=PLACES[place], total=total)
        other = self.mention()
        if verb is not None and self.take(COPULAS) != ("is" if other.number == 1 else "are"):
            self.fail()
        return Statement(subjects, self.opposite(place, self.phrase(SIDES)), (other,), total=total)

    def things(self, verb: str | None = None) -> tuple[Mention, ...]:
        """A list of mentions, after a verb that must agree with it."""
        mentions = [self.mention()]
        joined = True
        while True:
            start = self.position
            joined_here = self.word("and")
            if self.phrase(DETERMINERS) is None:
                self.position = start
                break
            self.position = start + joined_here
            mentions.append(self.mention())
            joined = joined_here
        number = sum(mention.number for mention in mentions)
        if not joined or verb == "is" and mentions[0].number > 1 or verb == "are" and number == 1:
            self.fail()
        return tuple(mentions)

    def mention(self, verb: str | None = None) -> Mention:
        determiner = self.phrase(DETERMINERS) or self.fail()
        number = DETERMINERS[determiner]
        following = self.words[self.position : self.position + 1]
        if (
            determiner in ("a", "an")
            and following != []
            and (following[0][0] in "aeiou") != (determiner == "an")
        ):
            self.fail()
        size = self.take(SIZE_WORDS)
        colour = self.take(COLOUR_WORDS) or self.fail()
        kind = self.take(KIND_WORDS if number == 1 else PLURALS) or self.fail()
        if determiner == "another" and (colour, kind) not in self.mentioned:
            self.fail()
        if verb is not None and verb != ("is" if number == 1 else "are"):
            self.fail()
        self.mentioned.add((colour, kind))
        return Mention(determiner, number, size, colour, kind)

    def opposite(self, side: str, other: str | None) -> str:
        """The relation that "on the left" and "on the right" say together."""
        if side not in SIDES or other is None or SIDES[other] != OPPOSITE[SIDES[side]]:
            self.fail()
        return SIDES[side]

    def take(self, table: Mapping[str, T]) -> T | None:
        """What the next words mean, if the table has them; then they are read."""
        phrase = self.phrase(table)
        return None if phrase is None else table[phrase]

    def phrase(self, table: Mapping[str, Any]) -> str | None:
        for phrase in table:
            words = phrase.split()
            if self.words[self.position : self.position + len(words)] == words:
                self.position += len(words)
                return phrase
        return None

    def word(self, word: str) -> bool:
        return self.phrase({word: word}) is not None

    def fail(self) -> NoReturn:
        raise _Ungrammatical


class _Writer:
    """Says true things about a scene, in words chosen by the scene's own seed."""

    def __init__(self, scene: Scene) -> None:
        self.shapes = scene.shapes
        self.rng = random.Random(f"captions {scene.seed}")
        self.mentioned: set[tuple[str, str]] = set()
        self.definite = False

    def captions(self) -> list[str]:
        ways = {
            1: (self.placed, self.place_first, self.opened, self.counted, self.opened_place),
            2: (self.related, self.relation_first, self.sides, self.opened, self.counted),
            3: (self.related, self.relation_first, self.grouped, self.opened, self.counted),
        }[len(self.shapes)]
        captions: list[str] = []
        for way in ways:
            while len(captions) <= ways.index(way):
                self.mentioned.clear()
                self.definite = False
                caption = way()
                if caption not in captions:
                    captions.append(caption)
        self.rng.shuffle(captions)
        return captions

    def placed(self) -> str:
        """a red star [is] on the left"""
        self.definite = self.rng.random() < 0.3
        return f"{self.mention(0)} {self.rng.choice(('', 'is '))}{self.place()}"

    def place_first(self) -> str:
        """on the left there is a red star"""
        return f"{self.place()} {self.rng.choice(('there is', 'is'))} {self.mention(0)}"

    def opened_place(self) -> str:
        """the picture shows a red star on the left"""
        return f"{self.opening()} {self.mention(0)} {self.place()}"

    def opened(self) -> str:
        """there is a red star and a blue box"""
        things = self.things(self.order())
        return f"{self.opening(things.startswith('two '))} {things}"

    def counted(self) -> str:
        """[the picture shows] two shapes, a red star and a blue box"""
        count = len(self.shapes)
        total = self.rng.choice([phrase for phrase, number in TOTALS.items() if number == count])
        opening = self.opening(count > 1) + " " if self.rng.random() < 0.5 else ""
        return f"{opening}{total}, {self.things(self.order())}"

    def related(self) -> str:
        """a red star is above a blue box"""
        one, other = self.order()[:2]
        relation = self.relation([one], [other])
        link = self.rng.choice(("is", "", "opening"))
        self.definite = link == "is" and self.rng.random() < 0.5
        text = (
            f"{self.mention(one)} {'is ' if link == 'is' else ''}{relation} {self.mention(other)}"
        )
        return f"{self.opening()} {text}" if link == "opening" else text

    def relation_first(self) -> str:
        """above a blue box there is a red star"""
        one, other = self.order()[:2]
        self.definite = self.rng.random() < 0.5
        start = f"{self.relation([one], [other])} {self.mention(other)}"
        self.definite = False
        return f"{start} {self.rng.choice(('there is', 'is'))} {self.mention(one)}"

    def sides(self) -> str:
        """[on the left] a red star [on the left] and [on the right] a blue box [on the right]"""
        one, other = self.order()[:2]
        side = self.rng.choice(
            [side for side, name in SIDES.items() if self.holds(name, [one], [other])]
        )
        opposite = next(other for other in SIDES if SIDES[other] == OPPOSITE[SIDES[side]])
        if self.rng.random() < 0.5:
            return f"{side} {self.mention(one)} and {opposite} {self.mention(other)}"
        return f"{self.mention(one)} {side} and {self.mention(other)} {opposite}"

    def grouped(self) -> str:
        """a red star is above a blue box and a green disc"""
        one, *others = self.order()
        if not any(self.holds(name, [one], others) for name in OPPOSITE):
            return self.sides()
        return f"{self.mention(one)} is {self.relation([one], others)} {self.things(others)}"

    def order(self) -> list[int]:
        return self.rng.sample(range(len(self.shapes)), len(self.shapes))

    def holds(self, relation: str, ones: Sequence[int], others: Sequence[int]) -> bool:
        pairs = itertools.product(ones, others)
        return all(_related(relation, self.shapes[one], self.shapes[other]) for one, other in pairs)

    def relation(self, ones: Sequence[int], others: Sequence[int]) -> str:
        """Words for one of the relations that hold."""
        name = self.rng.choice([name for name in OPPOSITE if self.holds(name, ones, others)])
        return self.words(RELATIONS, name)

    def place(self) -> str:
        """Words for where the only shape is."""
        where = (_third(self.shapes[0].x), _third(self.shapes[0].y))
        return self.rng.choice(
            [
                phrase
                for phrase, place in PLACES.items()
                if all(said in (None, third) for said, third in zip(place, where, strict=True))
            ]
        )

    def opening(self, several: bool = False) -> str:
        wrong = "is" if several else "are"
        return self.rng.choice([phrase for phrase, verb in OPENINGS.items() if verb != wrong])

    def things(self, indices: Sequence[int]) -> str:
        """A list, in which shapes that look the same may come as "two red stars"."""
        parts, rest = [], list(indices)
        while rest:
            index = rest.pop(0)
            size = self.size(index)
            alike = self.alike(index, size)
            if len(alike) == 2 and set(alike) <= {index, *rest}:
                rest = [other for other in rest if other not in alike]
                parts.append(self.mention(index, size, two=True))
            else:
                parts.append(self.mention(index, size))
        return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))

    def alike(self, index: int, size: str | None) -> list[int]:
        """All shapes that the same words would fit."""
        shape = self.shapes[index]
        return Mention("all", 0, size, shape.colour, shape.kind).matches(self.shapes)

    def size(self, index: int) -> str | None:
        """The size that is said, in every other mention."""
        return self.shapes[index].size if self.rng.random() < 0.5 else None

    def mention(self, index: int, size: str | None = "", two: bool = False) -> str:
        shape = self.shapes[index]
        size = self.size(index) if size == "" else size
        described = [self.words(SIZE_WORDS, size)] if size is not None else []
        described += [self.words(COLOUR_WORDS, shape.colour), self.words(KIND_WORDS, shape.kind)]
        if two:
            return " ".join(["two", *described[:-1], _plural(described[-1])])
        determiner = "an" if described[0][0] in "aeiou" else "a"
        if self.definite and len(self.alike(index, size)) == 1:
            determiner = "the"
        elif (shape.colour, shape.kind) in self.mentioned:
            determiner = "another"
        self.mentioned.add((shape.colour, shape.kind))
        return " ".join([determiner, *described])

    def words(self, table: Mapping[str, str], meaning: str) -> str:
        return self.rng.choice([words for words, means in table.items() if means == meaning])


# --- the data set ---------------------------------------------------------------------------------


def write_scenes(
    folder: str | os.PathLike[str],
    train: int = 4000,
    val: int = 400,
    held_out: int = 400,
    seed: int = 0,
    size: int = 64,
) -> None:
    """Write a data set: a PNG image per scene, and `scenes.jsonl`, which says all about them.

    Its lines are `{"image": "train/000001.png", "split": "train", "size": 64, "captions": [...],
    "scene": {...}}`. The folder appears when all of it is written, so that a call which was killed
    leaves nothing that could be taken for a data set. Where the very same data set is there already,
    nothing is done.

    Args:
        folder: made by this call, or empty.
        train, val, held_out: the number of scenes in the splits `train`, `val` and `val_held_out`.
        seed: of all scenes.
        size: width and height of the images in pixels.

    Raises:
        UserError: the folder holds anything else.
        ValueError: a number of scenes is negative, or the size is less than 1.
    """
    if min(train, val, held_out) < 0 or size < 1:
        raise ValueError(f"cannot make {train}, {val} and {held_out} scenes of {size} pixels")
    folder = Path(folder)
    counts = dict(zip(SPLITS, (train, val, held_out), strict=True))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        _check_same(folder, counts, seed, size)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for split in SPLITS:
            (unfinished / split).mkdir()
        lines = _lines(counts, seed, size)
        with atomic_write(unfinished / "scenes.jsonl") as file:
            for name, scene, line in tqdm(lines, "drawing scenes", sum(counts.values())):
                scene.draw(size).save(unfinished / name, compress_level=1)
                file.write(line)
        unfinished.chmod(0o755)  # mkdtemp makes private folders
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _lines(counts: Mapping[str, int], seed: int, size: int) -> Iterator[tuple[str, Scene, str]]:
    """The name of the image, the scene, and its line in scenes.jsonl."""
    for split, count in counts.items():
        for index in range(count):
            scene, name = generate(seed, index, split), f"{split}/{index:06d}.png"
            line = {"image": name, "split": split, "size": size, "captions": scene.captions()}
            yield name, scene, json.dumps({**line, "scene": scene.to_dict()}) + "\n"


def _check_same(folder: Path, counts: Mapping[str, int], seed: int, size: int) -> None:
    """Raise UserError unless the folder holds just the data set that would be written."""
    index = folder / "scenes.jsonl"
    if not index.is_file():
        raise UserError(
            f"{folder} holds other files. Choose a new or an empty folder for the scenes."
        )
    lines = read_text(index).splitlines(keepends=True)
    if len(lines) == sum(counts.values()):
        made = zip(lines, _lines(counts, seed, size), strict=True)
        if all(
            line == expected and (folder / name).is_file() for line, (name, _, expected) in made
        ):
            return
    raise UserError(
        f"{folder} holds scenes that were made with other settings, or are damaged. "
        "Choose another folder, or delete this one."
    )


def read_scenes(folder: str | os.PathLike[str], split: str | None = None) -> dict[str, Scene]:
    """The scenes of a data set, or of one split of it, by the name of their image.

    Raises:
        UserError: `scenes.jsonl` is missing, or a line of it is malformed (file and line are named).
    """
    path = Path(folder) / "scenes.jsonl"
    scenes = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
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
