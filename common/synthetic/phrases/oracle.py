"""The reference translation of any sentence of the grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from common.synthetic.phrases.blocks import Block
from common.synthetic.phrases.sampling import blocks_of


def translate(english: str) -> str | None:
    """The only correct Korean translation of a sentence; None if the grammar does not generate it.

    Args:
        english: capitalised; the full stop is optional.
    """
    return next(readings(english), None)


def readings(english: str) -> Iterator[str]:
    """The translation of each derivation of a sentence in the grammar; there is at most one."""
    sentence = english.strip().removesuffix(".")
    for blank in re.finditer(" ", sentence):
        for block, subject in _by_subject().get(sentence[: blank.start()], ()):
            yield from _readings_as(block, subject, sentence[blank.start() :])


@cache
def _by_subject() -> dict[str, list[tuple[Block, int]]]:
    """For the English words of each subject, the blocks that have it, and its index in them."""
    places: dict[str, list[tuple[Block, int]]] = {}
    for block in (*blocks_of(False), *blocks_of(True)):
        for number, subject in enumerate(block.subjects):
            places.setdefault(subject.english, []).append((block, number))
    return places


def _readings_as(block: Block, subject: int, rest: str) -> Iterator[str]:
    person = block.subjects[subject].person
    for which, does in enumerate(block.predications):
        verb, time = does.english[person], does.time.english
        if not (rest.startswith(verb) and rest.endswith(time)):
            continue
        between = rest[len(verb) : len(rest) - len(time)]
        for first, one in enumerate(block.first):
            if between.startswith(one.english):
                for second, other in enumerate(block.second):
                    if between == one.english + other.english:
                        yield block.sentence(subject, which, first, second)[1]
