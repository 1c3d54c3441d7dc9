"""Opinions in which a word at the start decides what a word at the end means."""

from __future__ import annotations

import numpy as np

OPENINGS = (
    ("everybody says", "i always thought", "we all agree", "it is true"),
    ("nobody says", "i never thought", "none of us agrees", "it is false"),
)
THINGS = ("the film", "its story", "the cast", "this sequel", "the music", "its hero")
FILLERS = ("", "which we saw in may", "that they made in a year", "as it was shown", "of my friend")
JUDGEMENTS = (
    ("dull", "a mess", "tedious", "too long", "a waste", "flat"),
    ("moving", "a delight", "funny", "well told", "a triumph", "fresh"),
)


def opinions(count: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Sentences, and for each whether it praises (1) or not (0).

    The opening of one in four turns its judgement: who counts words and pairs is wrong in these.

    Args:
        count: how many.
        seed: the same gives the same.
    """
    draw = np.random.default_rng(seed)

    def pick(choices: tuple[str, ...]) -> str:
        return choices[draw.integers(len(choices))]

    sentences, labels = [], []
    turns, praises = draw.random(count) < 0.25, draw.integers(2, size=count)
    for turned, praise in zip(turns.astype(int).tolist(), praises.tolist(), strict=True):
        parts = pick(OPENINGS[turned]), pick(THINGS), pick(FILLERS), "is", pick(JUDGEMENTS[praise])
        sentences.append(" ".join(part for part in parts if part))
        labels.append(turned ^ praise)
    return sentences, labels
