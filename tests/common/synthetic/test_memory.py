"""The memory tasks are what they are called, and their baselines are right."""

from __future__ import annotations

import numpy as np
import pytest

from common.synthetic.memory import BLANK, CONSTANT, GO, adding, copying, memoryless


def test_two_marked_numbers_are_added():
    inputs, sums = adding(np.random.default_rng(0), 2000, 11)
    numbers, marks = inputs[:, :, 0], inputs[:, :, 1]
    assert inputs.shape == (2000, 11, 2) and inputs.dtype == sums.dtype == np.float32
    assert (marks[:, :5].sum(1) == 1).all() and (marks[:, 5:].sum(1) == 1).all()
    assert marks.mean(0).min() > 0.1  # anywhere
    np.testing.assert_allclose(sums[:, 0], (numbers * marks).sum(1))
    assert sums.var() == pytest.approx(CONSTANT, rel=0.1)


@pytest.mark.parametrize("length", [1, 7])
def test_symbols_are_copied_after_a_delay(length):
    read, written = copying(np.random.default_rng(0), 500, length)
    assert read.shape == written.shape == (500, length + 20)
    np.testing.assert_array_equal(read[:, :10], written[:, -10:])
    assert set(np.unique(read[:, :10])) == set(range(BLANK + 1, GO))
    assert (written[:, :-10] == BLANK).all() and (read[:, 10 : 9 + length] == BLANK).all()
    assert (read[:, 9 + length] == GO).all() and (read[:, -10:] == BLANK).all()


def test_what_is_known_without_a_memory():
    assert memoryless(100) == pytest.approx(10 * np.log(8) / 120)


def test_too_short():
    with pytest.raises(ValueError, match="at least two numbers"):
        adding(np.random.default_rng(0), 1, 1)
    with pytest.raises(ValueError, match="at least 1"):
        copying(np.random.default_rng(0), 1, 0)
