"""Captions: all true, in different words; and whatever is changed in them makes them false."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from common.synthetic.scenes import SPLITS
from common.synthetic.scenes.language import (
    COLOUR_WORDS,
    KIND_WORDS,
    PLACES,
    PLURALS,
    RELATIONS,
    SIZE_WORDS,
    parse,
)
from tests.common.synthetic.scenes.examples import scenes


@pytest.mark.parametrize("split", SPLITS)
def test_all_captions_are_true_and_no_two_are_the_same(split: str):
    for made in scenes(300, split):
        captions = made.captions()
        assert len(set(captions)) == 5
        assert all(made.is_true(caption) for caption in captions), captions


def skeleton(caption: str) -> str:
    """The caption without what it says: its syntax."""
    phrases = [*PLACES, *RELATIONS, *KIND_WORDS, *PLURALS, *COLOUR_WORDS, *SIZE_WORDS]
    for phrase in sorted(phrases, key=len, reverse=True):
        kind = "" if phrase in SIZE_WORDS or phrase in COLOUR_WORDS else "X"
        caption = f" {caption} ".replace(f" {phrase} ", f" {kind} ")
    return " ".join(caption.split())


def test_the_captions_of_a_scene_differ_in_syntax():
    for made in scenes(200):
        assert len({skeleton(caption.replace(",", " ,")) for caption in made.captions()}) >= 4


def test_a_caption_in_pieces_or_out_of_order_is_false():
    rng = random.Random(0)
    shuffled_true = 0
    for made in scenes(100):
        for caption in made.captions():
            words = caption.split()
            assert not made.is_true(" ".join(words[1:]))
            assert not made.is_true(" ".join(words[:-1]))
            assert not made.is_true(f"{caption} {caption}")
            rng.shuffle(words)
            shuffled_true += made.is_true(" ".join(words))
    assert shuffled_true <= 5  # "a red star and a blue box" has more than one true order


def absent(words: dict[str, str], present: set[str]) -> list[str]:
    return [word for word, meaning in words.items() if meaning not in present]


def test_a_wrong_word_makes_a_caption_false():
    """Every colour, kind or size that no shape of the scene has, in every place."""
    changed = 0
    for made in scenes(60):
        colours, kinds, sizes = (
            {getattr(each, name) for each in made.shapes} for name in ("colour", "kind", "size")
        )
        wrong = [
            (COLOUR_WORDS, absent(COLOUR_WORDS, colours)),
            (KIND_WORDS, absent(KIND_WORDS, kinds)),
            (PLURALS, absent(PLURALS, kinds)),
            (SIZE_WORDS, absent(SIZE_WORDS, sizes)),
        ]
        for caption in made.captions():
            words = caption.replace(",", "").split()
            for position, word in enumerate(words):
                for other in (
                    other for table, others in wrong if word in table for other in others
                ):
                    text = " ".join([*words[:position], other, *words[position + 1 :]])
                    text = re.sub(r"\ban?\b", "a", text).replace("a orange", "an orange")
                    assert parse(text) is not None or "another" in text, text
                    assert not made.is_true(text), text
                    changed += 1
    assert changed > 5000


OPPOSITES = [
    ("left", "right"),
    ("above", "below"),
    ("over", "under"),
    ("top", "bottom"),
    ("upper", "lower"),
]
OPPOSITES += [
    ("two shapes", "three shapes"),
    ("two objects", "three objects"),
    ("one object", "two objects"),
]


def test_the_opposite_of_a_caption_is_false():
    """Unless it is as true the other way round, because both shapes would fit both mentions."""
    changed = 0
    for made in scenes(300):
        if len({(each.colour, each.kind) for each in made.shapes}) < len(made.shapes):
            continue
        for caption in made.captions():
            for pair in OPPOSITES:
                for one, other in (pair, pair[::-1]):
                    text = caption.replace(one, "\0").replace(other, one).replace("\0", other)
                    if text != caption:
                        assert not made.is_true(text), text
                        changed += 1
    assert changed > 1000


def test_captions_of_other_scenes_are_nearly_always_false():
    made = scenes(400)
    true = sum(
        one.is_true(caption)
        for one, other in itertools.pairwise(made)
        for caption in other.captions()
    )
    assert true < 0.02 * 5 * 399
