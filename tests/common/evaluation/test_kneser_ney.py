"""Kneser-Ney: probabilities that sum to one, and the equations written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from common.evaluation.kneser_ney import KneserNey

TEXTS = [[0, 1, 2, 0, 1, 3], [1, 2, 0, 0], [0, 1, 2, 2, 4, 4, 1, 2], [3]]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("history", [[], [0], [0, 1], [1, 2, 0, 0], [5, 5], [3, 1, 2]])
def test_the_probabilities_after_any_history_sum_to_one(order, history):
    model = KneserNey(TEXTS, 6, order)
    before = len(history) * model.nll([history]) if history else 0.0
    each = [model.nll([[*history, token]]) * (len(history) + 1) - before for token in range(6)]
    assert sum(math.exp(-nll) for nll in each) == pytest.approx(1)


def test_a_bigram_model_by_hand():
    texts = [[0, 1], [0, 1], [0, 2], [0, 2], [1, 2], [2, 0], [0, 0], [2, 1], [2, 1], [2, 1]]
    # Bigrams (s the start) that occur once, twice, three and four times:
    # s1 12 20 00 | 01 02 | 21 s2... : s0 x 5, s1 x 1, s2 x 4, 01 x 2, 02 x 2, 00 x 1, 12, 20, 21 x 3
    once, twice, thrice, four = 4, 2, 1, 1
    y = once / (once + 2 * twice)
    discount = {
        1: 1 - 2 * y * twice / once, 2: 2 - 3 * y * thrice / twice, 3: 3 - 4 * y * four / thrice
    }  # fmt: skip
    follow = {0: 3, 1: 3, 2: 3}  # contexts of each token: s, 2, 0; s, 0, 2; s, 0, 1
    assert set(follow.values()) == {3}  # alike, so that the unigrams are uniform
    # After 0 (five times): 1 twice, 2 twice, 0 once.
    left = (2 * discount[2] + discount[1]) / 5
    expected = (2 - discount[2]) / 5 + left / 3
    first = (5 - discount[3]) / 10 + (2 * discount[3] + discount[1]) / 10 / 3
    nll = KneserNey(texts, 3, 2).nll([[0, 1]])
    assert 2 * nll == pytest.approx(-math.log(expected) - math.log(first))


def test_texts_are_counted_and_predicted_each_by_itself():
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 5, rng.integers(1, 9)).tolist() for _ in range(40)]
    held_out = [rng.integers(0, 7, 6).tolist() for _ in range(5)]
    model, turned = KneserNey(texts, 7, 3), KneserNey(texts[::-1], 7, 3)
    assert model.nll(held_out) == pytest.approx(turned.nll(held_out))
    alone = sum(model.nll([text]) for text in held_out) / 5
    assert model.nll(held_out) == pytest.approx(alone)


def test_nothing_to_count():
    with pytest.raises(ValueError, match="not empty"):
        KneserNey([[]], 4, 2)
    with pytest.raises(ValueError, match="at least 1"):
        KneserNey([[1]], 4, 0)
