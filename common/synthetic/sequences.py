"""Short tasks of tokens, one for each shape: what is read at every step, and what is to be answered.

Ids are those of a `Vocabulary`, from `FIRST` on. Two matrices (N, T): what is read, `ANSWER` where only
an answer is wanted, and the answers, `NONE` where none is. No answer is read by a later step, unless the
task is to go on with a text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np

from common.synthetic.phrases.sampling import phrases

NONE, ANSWER, FIRST = 0, 1, 4  # padding, the start token, and the first that is not special
SequenceTask: TypeAlias = Literal["spell", "sum", "text", "reverse"]
Examples: TypeAlias = tuple[np.ndarray, np.ndarray]


def spell(count: int, seed: int, words: int = 128, letters: int = 12) -> Examples:
    """One to many: a word is read, and its letters are written. They are random, and learnt by heart:
    those of a word are the same whatever the seed."""
    spelling = np.random.default_rng(0).integers(FIRST, FIRST + 26, (words, letters))
    chosen = np.random.default_rng(seed).integers(words, size=count)
    tokens = np.full((count, letters), ANSWER)
    tokens[:, 0] = FIRST + chosen
    return tokens, spelling[chosen]


def sum_of_digits(count: int, seed: int, modulus: int = 5, longest: int = 12) -> Examples:
    """Many to one: digits are read, and the last step gives their sum modulo the modulus. There are one
    to `longest` of them."""
    draw = np.random.default_rng(seed)
    digits = draw.integers(modulus, size=(count, longest))
    steps = np.arange(longest) + 1
    length = draw.integers(1, longest + 1, size=(count, 1))
    sums = digits.cumsum(1) % modulus
    return np.where(steps <= length, FIRST + digits, NONE), np.where(
        steps == length, FIRST + sums, NONE
    )


def text(count: int, seed: int) -> Examples:
    """Many to many: English sentences that are made, and the next character at every step. Those of an
    even seed and of an odd one are different."""
    pairs = phrases(count, ("train", "val")[seed % 2], seed=0)
    lines = [[FIRST + 1 + ord(sign) - ord(" ") for sign in pair.source] for pair in pairs]
    tokens = np.zeros((count, 1 + max(map(len, lines))), np.int64)
    targets = tokens.copy()
    for row, line in enumerate(lines):
        tokens[row, : len(line) + 1] = [ANSWER, *line]
        targets[row, : len(line) + 1] = [*line, FIRST]  # FIRST is the end
    return tokens, targets


def reverse(count: int, seed: int, length: int = 12, symbols: int = 8) -> Examples:
    """Sequence to sequence: symbols are read, and then written from the last to the first."""
    draw = np.random.default_rng(seed)
    read = draw.integers(FIRST, FIRST + symbols, (count, length))
    tokens = np.concatenate([read, np.full_like(read, ANSWER)], 1)
    return tokens, np.concatenate([np.full_like(read, NONE), read[:, ::-1]], 1)


TASKS: dict[SequenceTask, Callable[[int, int], Examples]] = dict(
    zip(get_args(SequenceTask), (spell, sum_of_digits, text, reverse), strict=True)
)
"""By name, what makes so many examples of a seed."""


def memoryless(train: Examples, tokens: np.ndarray, targets: np.ndarray) -> float:
    """The accuracy of the most frequent answer to each token, without a memory of those before.

    Args:
        train: the examples in which it is counted.
        tokens, targets: those that are answered.
    """
    size = 1 + max(int(each.max()) for each in (*train, tokens, targets))
    counts = np.zeros((size, size), np.int64)
    wanted = train[1] != NONE
    np.add.at(counts, (train[0][wanted], train[1][wanted]), 1)
    wanted = targets != NONE
    return float((counts.argmax(1)[tokens[wanted]] == targets[wanted]).mean())
