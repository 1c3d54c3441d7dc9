"""The language of captions: its grammar and its meaning.

The grammar of a caption (capitals and punctuation are ignored, any other word is ungrammatical):

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

A caption is true of a scene under these rules:

- Each mention refers to different shapes: `a red star` to one that matches, `the` and `one` to
  the only one that matches, `two` to all that match, if they are two. So `a red star and
  another red star` needs two. What is not stated (a size, a third shape) may be anything.
- A relation holds between every shape on its left and every shape on its right. One shape is left
  of another if it ends before the other begins; above is likewise.
- `X on the left and Y on the right` compares the two: it means `X is left of Y`. A place of one
  mention alone is a place in the picture, in which the shape's centre must clearly lie.
- `two shapes, X and Y` lists all shapes of the picture.

Every caption names at least one shape with its colour: `a picture` and `two shapes` are not
captions. `is` and `are`, `a` and `an`, singular and plural must agree; `another` needs an earlier
mention of the same colour and kind.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from common.synthetic.scenes.shapes import COLOURS, KINDS, SIZES, Shape

Place = tuple[int | None, int | None]  # column and row, in thirds of the picture
T = TypeVar("T")

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
        """Whether the shape has the size, if one is given, the colour and the kind."""
        mentioned = (self.size or shape.size, self.colour, self.kind)
        return mentioned == (shape.size, shape.colour, shape.kind)

    def repeats(self, other: Mention) -> bool:
        """Whether this may be "another" after an earlier mention."""
        same = (self.colour, self.kind) == (other.colour, other.kind)
        return same and self.size in (None, other.size)

    def readings(self, shapes: Sequence[Shape]) -> list[tuple[int, ...]]:
        """The sets of shapes that this may refer to, as indices."""
        fitting = tuple(index for index, shape in enumerate(shapes) if self.fits(shape))
        if self.determiner in ("a", "an", "another"):
            return [(index,) for index in fitting]
        return [fitting] if len(fitting) == self.number else []


@dataclass(frozen=True)
class Statement:
    """The meaning of a caption.

    Args:
        subjects, objects: the mentions before and after the relation.
        relation: "left", "right", "above" or "below", of every subject to every object.
        place: (column, row) of every subject, in thirds of the picture; None leaves it open.
        total: the number of shapes in the picture, all of them mentioned.
    """

    subjects: tuple[Mention, ...]
    relation: str = ""
    objects: tuple[Mention, ...] = ()
    place: Place = (None, None)
    total: int | None = None

    def holds(self, shapes: Sequence[Shape]) -> bool:
        """Whether this is true of a scene of these shapes."""
        mentions = self.subjects + self.objects
        number = sum(mention.number for mention in mentions)
        if number > len(shapes) or self.total is not None and {number, self.total} != {len(shapes)}:
            return False
        for reading in itertools.product(*(mention.readings(shapes) for mention in mentions)):
            if len({index for indices in reading for index in indices}) < number:
                continue  # one shape in two mentions
            meant = [[shapes[index] for index in indices] for indices in reading]
            split = len(self.subjects)
            if self._holds_of(sum(meant[:split], []), sum(meant[split:], [])):
                return True
        return False

    def _holds_of(self, subjects: list[Shape], objects: list[Shape]) -> bool:
        pairs = itertools.product(subjects, objects)
        return all(lies_in(self.place, shape) for shape in subjects) and all(
            related(self.relation, *pair) for pair in pairs
        )


def lies_in(place: Place, shape: Shape) -> bool:
    """Whether a shape's centre lies clearly in a place of the picture."""
    thirds = (_third(shape.x), _third(shape.y))
    return all(wanted in (None, third) for wanted, third in zip(place, thirds, strict=True))


def _third(centre: float) -> int | None:
    """The third of the picture, 0 to 2, that a centre lies in; None near a border of two thirds."""
    for third, (low, high) in enumerate(((0.0, 0.36), (0.42, 0.58), (0.64, 1.0))):
        if low <= centre <= high:
            return third
    return None


def related(relation: str, one: Shape, other: Shape) -> bool:
    """Whether one shape is left of, right of, above or below the other."""
    if relation in ("right", "below"):
        return related(OPPOSITE[relation], other, one)
    start, end = (0, 2) if relation == "left" else (1, 3)
    return one.box[end] < other.box[start]


class _Ungrammatical(Exception):
    pass


def parse(caption: str) -> Statement | None:
    """The meaning of a caption; None if it is ungrammatical."""
    try:
        return _Parser(caption).caption()
    except _Ungrammatical:
        return None


class _Parser:
    """A recursive-descent parser: each method consumes one part of the grammar."""

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
            self.fail()  # ambiguous: "a star and a disc on the left"
        if not self.phrase(("and",)):
            return Statement(subjects, place=PLACES[place], total=total)
        objects = self.things(single=True)
        self.agree((self.take(COPULAS) or self.fail()) if verb else None, objects[0].number)
        return Statement(subjects, self.comparison(place), objects, total=total)

    def things(self, verb: str | None = None, single: bool = False) -> tuple[Mention, ...]:
        """One or more mentions; `verb` stands before them and must agree."""
        things, joined = [self.mention()], True
        while not single:
            start = self.position
            joined_here = self.phrase(("and",)) is not None
            if self.next() not in DETERMINERS:
                self.position = start
                break
            things.append(self.mention())
            joined = joined_here
        # Both "there is a star and a disc" and "there are" are correct.
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
        if determiner == "another" and not any(
            mention.repeats(earlier) for earlier in self.mentions
        ):
            self.fail()
        self.mentions.append(mention)
        return mention

    def next(self) -> str:
        return self.words[self.position] if self.position < len(self.words) else ""

    def comparison(self, side: str) -> str:
        """The relation of `side`, already read, and the opposite side, which comes next."""
        other = self.take(SIDES)
        return SIDES[side] if other and SIDES.get(side) == OPPOSITE[other] else self.fail()

    def agree(self, verb: str | None, number: int) -> None:
        if verb and verb != ("is" if number == 1 else "are"):
            self.fail()

    def take(self, table: Mapping[str, T]) -> T | None:
        """Consume a phrase of the table, if one comes next, and return its meaning."""
        phrase = self.phrase(table)
        return None if phrase is None else table[phrase]

    def phrase(self, phrases: Iterable[str]) -> str | None:
        """Consume one of the phrases, if one comes next."""
        for phrase in phrases:
            end = self.position + len(phrase.split())
            if self.words[self.position : end] == phrase.split():
                self.position = end
                return phrase
        return None

    def fail(self) -> NoReturn:
        raise _Ungrammatical
