"""Captions of a scene: true sentences with random wording."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from common.synthetic.scenes.language import (
    COLOUR_WORDS,
    KIND_WORDS,
    OPENINGS,
    OPPOSITE,
    PLACES,
    PLURALS,
    RELATIONS,
    SIDES,
    SIZE_WORDS,
    TOTALS,
    Mention,
    lies_in,
    related,
)
from common.synthetic.scenes.shapes import Shape

T = TypeVar("T")


def write_captions(shapes: Sequence[Shape], seed: int) -> list[str]:
    """Five different true captions of a scene: a function of the shapes and the seed."""
    return _Writer(shapes, seed).captions()


class _Writer:
    """Writes true captions of a scene; each method gives one kind of sentence or phrase."""

    def __init__(self, shapes: Sequence[Shape], seed: int) -> None:
        self.shapes = shapes
        self.rng = random.Random(f"captions {seed}")
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
        """on the left a red star and on the right a blue box; or with the sides after the shapes"""
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
        """All shapes, in any order; two that look alike may become "two red stars"."""
        parts, rest = [], self.rng.sample(range(len(self.shapes)), len(self.shapes))
        while rest:
            mention = self.mention_of(rest[0], "two")
            alike = [index for index, shape in enumerate(self.shapes) if mention.fits(shape)]
            if len(alike) != 2 or not set(alike) <= set(rest):
                mention, alike = replace(mention, determiner="a"), rest[:1]
            parts.append(self.words(mention))
            rest = [index for index in rest if index not in alike]
        return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)

    def mention(self, index: int, the: float = 0.0) -> str:
        """A phrase for a shape; if it is unique, it begins with "the" with this probability."""
        mention = self.mention_of(index, "a")
        unique = sum(mention.fits(shape) for shape in self.shapes) == 1
        if self.rng.random() < the and unique:
            mention = replace(mention, determiner="the")
        return self.words(mention)

    def mention_of(self, index: int, determiner: str) -> Mention:
        shape = self.shapes[index]
        size = shape.size if self.rng.random() < 0.5 else None
        return Mention(determiner, size, shape.colour, shape.kind)

    def words(self, mention: Mention) -> str:
        size = [self.phrase(SIZE_WORDS, mention.size)] if mention.size else []
        kind = self.phrase(KIND_WORDS if mention.number == 1 else PLURALS, mention.kind)
        words = [*size, self.phrase(COLOUR_WORDS, mention.colour), kind]
        determiner = mention.determiner
        if determiner == "a" and any(mention.repeats(earlier) for earlier in self.mentions):
            determiner = "another"
        elif determiner == "a" and words[0] == "orange":
            determiner = "an"
        self.mentions.append(mention)
        return " ".join([determiner, *words])

    def relation(self, one: int, other: int) -> str:
        pair = self.shapes[one], self.shapes[other]
        return self.rng.choice([relation for relation in OPPOSITE if related(relation, *pair)])

    def place(self) -> str:
        shape = self.shapes[0]
        return self.rng.choice([name for name, place in PLACES.items() if lies_in(place, shape)])

    def opening(self, number: int) -> str:
        wrong = "are" if number == 1 else "is"
        return self.rng.choice([words for words, verb in OPENINGS.items() if verb != wrong])

    def phrase(self, table: Mapping[str, T], meaning: T) -> str:
        """A random phrase with this meaning."""
        return self.rng.choice([words for words, means in table.items() if means == meaning])
