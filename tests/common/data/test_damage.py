"""Damage: told on one line, and refused where it is too much."""

from __future__ import annotations

import pytest

from common.data.damage import check_problems, problem
from common.errors import UserError


def test_the_limit_counts_the_share_of_problems() -> None:
    check_problems([], 0, 0.0, "here")
    check_problems(["x"], 99, 0.01, "here")
    check_problems(["x"] * 5, 0, 1.0, "here")
    with pytest.raises(UserError, match=r"here: 1 of 99 items are damaged \(1.01%\)"):
        check_problems(["x"], 98, 0.01, "here")


def test_a_refusal_says_which_option_raises_the_limit_far_enough() -> None:
    problems = [f"a.txt:{n}: broken" for n in range(7)]
    with pytest.raises(UserError) as raised:
        check_problems(problems, 1000, 0.001, "here")
    assert "--max-problems 0.007 " in str(raised.value)
    assert "a.txt:2" in str(raised.value) and "a.txt:3" not in str(raised.value)
    check_problems(problems, 1000, 0.007, "here")


def test_a_problem_is_one_line_whatever_is_in_it() -> None:
    assert problem("a\nb.txt:1", "x\u2028y\x1b[2J") == "a?b.txt:1: x?y?[2J"
