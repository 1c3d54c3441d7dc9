"""Tasks that are easy for whoever remembers: what matters was read long before it is needed.

Sources: Hochreiter and Schmidhuber 1997, Long short-term memory; Arjovsky, Shah and Bengio 2016, Unitary
evolution recurrent neural networks, whose sizes these are.
"""

from __future__ import annotations

import numpy as np

SYMBOLS, COPIED = 8, 10
"""Different symbols that are copied, and how many of them in a sequence."""
BLANK, GO = 0, SYMBOLS + 1
"""Tokens of the copying task: nothing, and the sign to begin; its symbols are those between."""

CONSTANT = 1 / 6
"""The mean squared error of the best constant in the adding problem, the variance of a sum of two."""


def adding(draw: np.random.Generator, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The adding problem: of many numbers, two are marked, one in each half; what is their sum?

    Args:
        draw: random generator.
        count: N, sequences.
        length: T, at least 2.

    Returns:
        (N, T, 2) numbers in 0..1 and marks of 0 or 1, and (N, 1) the sums, both float32.
    """
    if length < 2:
        raise ValueError(f"there are at least two numbers to add, not {length}")
    numbers = draw.random((count, length), dtype=np.float32)
    marks = np.zeros_like(numbers)
    rows = np.arange(count)
    marks[rows, draw.integers(0, length // 2, count)] = 1
    marks[rows, draw.integers(length // 2, length, count)] = 1
    return np.stack((numbers, marks), axis=2), (numbers * marks).sum(1, keepdims=True)


def copying(draw: np.random.Generator, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The copying task: ten symbols, a delay of blanks, a sign; then the symbols are written again.

    Args:
        draw: random generator.
        count: N, sequences.
        length: T, steps between the last symbol and the first answer, at least 1.

    Returns:
        (N, T + 20) tokens that are read, and as many that are to be written: blanks, and at the end the
        symbols; int64.
    """
    if length < 1:
        raise ValueError(f"the sign to begin needs a step: a delay is at least 1, not {length}")
    symbols = draw.integers(BLANK + 1, GO, (count, COPIED))
    read = np.full((count, length + 2 * COPIED), BLANK)
    written = read.copy()
    read[:, :COPIED] = symbols
    read[:, -COPIED - 1] = GO
    written[:, -COPIED:] = symbols
    return read, written


def memoryless(length: int) -> float:
    """The cross-entropy in nats a step of whoever knows the copying task and remembers nothing."""
    return COPIED * float(np.log(SYMBOLS)) / (length + 2 * COPIED)
