"""Short tasks of every shape: what is to be answered follows from what was read."""

from __future__ import annotations

import numpy as np
import pytest

from common.synthetic.sequences import ANSWER, FIRST, NONE, TASKS, memoryless
from common.text import BOS, PAD, SPECIALS


def test_ids_are_those_of_a_vocabulary():
    assert (PAD, BOS, len(SPECIALS)) == (NONE, ANSWER, FIRST)


@pytest.mark.parametrize("task", TASKS)
def test_examples_are_a_function_of_the_seed(task):
    one, same, other = (TASKS[task](20, seed) for seed in (3, 3, 4))
    for tokens, again, different in zip(one, same, other, strict=True):
        assert tokens.shape == again.shape and (tokens == again).all()
        assert tokens.shape != different.shape or (tokens != different).any()


def test_answers():
    tokens, targets = TASKS["sum"](50, 0)
    for read, wanted in zip(tokens, targets, strict=True):
        digits = read[read != NONE] - FIRST
        assert wanted[len(digits) - 1] - FIRST == digits.sum() % 5
        assert (wanted != NONE).sum() == 1
    tokens, targets = TASKS["reverse"](50, 0)
    assert (targets[:, 12:] == tokens[:, 11::-1]).all() and (tokens[:, 12:] == ANSWER).all()
    tokens, targets = TASKS["text"](50, 0)
    ends = (targets == FIRST).argmax(1)
    assert (
        tokens[:, 1:][targets[:, :-1] != FIRST] == targets[:, :-1][targets[:, :-1] != FIRST]
    ).all()
    assert (ends > 5).all()
    tokens, targets = TASKS["spell"](500, 0)
    spelt: dict[int, list[int]] = {}
    for word, letters in zip(tokens[:, 0].tolist(), targets.tolist(), strict=True):
        assert spelt.setdefault(word, letters) == letters


def test_the_best_guess_without_a_memory():
    train = np.array([[5, 5, 6, 6, 6]]), np.array([[7, 7, 8, 9, 9]])
    assert memoryless(train, np.array([[5, 6, 6]]), np.array([[7, 9, 8]])) == pytest.approx(2 / 3)
