"""Features of words: of their spelling (endings, beginnings, capitals, digits), and pairs."""

from __future__ import annotations

import re

AFFIX_LENGTHS = (1, 2, 3, 4)
_RUNS = (("[A-Z]+", "X"), ("[a-z]+", "x"), ("[0-9]+", "9"))


def word_features(word: str, first: bool = False) -> tuple[str, ...]:
    """The features of a word: itself in lower case, its beginnings and endings, and its shape.

        Walking  ->  walking  ^w ^wa ^wal ^walk  g$ ng$ ing$ king$  ~Xx

    Args:
        word: as it is written.
        first: it begins its sentence, where a capital tells less.

    Returns:
        As many for every word: where it is too short for an affix, the whole word stands again.
    """
    lower = word.lower()
    shape = word
    for run, sign in _RUNS:
        shape = re.sub(run, sign, shape)
    return (
        lower,
        *(f"^{lower[:length]}" for length in AFFIX_LENGTHS),
        *(f"{lower[-length:]}$" for length in AFFIX_LENGTHS),
        f"{'<' if first else ''}~{shape[:8]}",
    )


def with_pairs(words: list[str]) -> list[str]:
    """The words, and then each pair of neighbours."""
    return words + [f"{first} {second}" for first, second in zip(words, words[1:], strict=False)]
