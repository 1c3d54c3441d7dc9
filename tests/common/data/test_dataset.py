"""A data set: its splits, its summary, and when it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.data.damage import Damage, Tally, problem
from common.data.dataset import DataSet
from common.errors import UserError


def data(**splits: list[str]) -> DataSet[list[str]]:
    return DataSet("pets", "csv", splits)


def test_the_usual_splits_come_first_and_a_missing_one_is_named_with_the_others() -> None:
    pets = data(b=["x"], test=["y"], val=[], train=["z"])
    assert list(pets.splits) == ["train", "val", "test", "b"]
    assert pets.split("train") == ["z"]
    for name in ("val", "dev"):
        with pytest.raises(
            UserError, match=f"pets .csv. has no items in a split '{name}'; it has "
        ):
            pets.split(name)


def test_the_summary_has_sizes_notes_and_the_first_problems() -> None:
    pets = data(train=["x"] * 1234)
    pets.notes = ["odd\x1b[2J"]
    pets.damage = {
        "rows": Tally(9, ["line 0"]),
        "pets": Tally(9, [f"line {n}" for n in range(1, 7)]),
    }
    lines = pets.summary(problems=5).splitlines()
    assert lines[1].split() == ["train", "1,234"]
    assert lines[2:4] == ["note: odd\\u001b[2J", "problem: line 0"]
    assert lines[-1] == "... and 2 more problems"


def test_the_limit_counts_the_fraction_of_problems() -> None:
    Tally().check(0.0, "here", "pets")
    Tally(100, ["x"]).check(0.01, "here", "pets")
    Tally(5, ["x"] * 5).check(1.0, "here", "pets")
    with pytest.raises(UserError, match=r"here: 1 of 99 pets are damaged \(1.01%\)"):
        Tally(99, ["x"]).check(0.01, "here", "pets")


def test_damage_is_counted_among_its_like() -> None:
    rows = Tally()
    for number in range(150):
        with rows.reporting(f"a.csv:{number}"):
            if number == 7:
                raise Damage("broken")
    assert (rows.total, rows.problems) == (150, ["a.csv:7: broken"])
    pets = data(train=["x"] * 30)
    pets.damage = {"rows": rows, "pets": Tally(30)}
    pets.check(Path("here"), 0.01)
    with pytest.raises(UserError, match=r"here: 1 of 150 rows are damaged \(0.667%\)"):
        pets.check(Path("here"), 0.006)


def test_a_refusal_says_which_option_raises_the_limit_far_enough() -> None:
    pets = data(train=["x"] * 1000)
    pets.damage = {"rows": Tally(1007, [f"a.txt:{n}: broken" for n in range(7)])}
    with pytest.raises(UserError) as raised:
        pets.check(Path("here"), 0.001)
    message = str(raised.value)
    for part in ("here: 7 of 1,007 rows", "--max-problems 0.007 ", "limit of 0.1%", "a.txt:2"):
        assert part in message
    assert "a.txt:3" not in message and "\n" not in message
    pets.check(Path("here"), 0.007)


def test_nothing_usable_is_an_error_whatever_the_limit() -> None:
    with pytest.raises(UserError, match="here: no usable item in it, read as csv"):
        data(train=[]).check(Path("here"), 1.0)


def test_a_problem_is_one_line_whatever_is_in_it() -> None:
    assert problem("a\nb.txt:1", "x\u2028y\x1b[2J") == r"a\u000ab.txt:1: x\u2028y\u001b[2J"


@pytest.mark.parametrize(
    ("total", "problems", "advised"),
    [
        (1000, ["a.csv:2: broken"] * 40, True),
        (100, ["a.csv:2: broken"] * 100, False),  # nothing would be left
        (100, ["a.csv:2: broken"] * 51, False),  # read as something that it is not
        (100, ["a.csv:2: not UTF-8 text (byte 0xc7)"] * 90, False),
        (100, ["a.csv:2: not UTF-8 text (byte 0xe9)"] * 20, False),  # a file in Latin-1
        (1000, ["a.csv:2: not UTF-8 text (byte 0xe9)"] * 20, True),  # two lines in a hundred
    ],
)
def test_a_higher_limit_is_advised_only_where_it_helps(
    total: int, problems: list[str], advised: bool
) -> None:
    pets = data(train=["x"] * 5, val=["x"])
    pets.damage = {"rows": Tally(total, problems)}
    with pytest.raises(UserError, match=f"of {total:,} rows are damaged") as raised:
        pets.check(Path("here"), 0.01)
    assert ("--max-problems" in str(raised.value)) == advised
    assert ("Convert the file to UTF-8" in str(raised.value)) == (
        not advised and "UTF-8" in problems[0]
    )


@pytest.mark.parametrize("splits", [{}, {"train": []}, {"train": ["x"], "val": []}])
def test_a_higher_limit_is_not_advised_where_no_split_would_be_left(splits: dict) -> None:
    pets = data(**splits)
    pets.damage = {"rows": Tally(100, ["a.csv:2: broken"] * 10)}
    with pytest.raises(UserError) as raised:
        pets.check(Path("here"), 0.01)
    assert "--max-problems" not in str(raised.value)
    complete = data(train=["x"])
    complete.damage = pets.damage
    with pytest.raises(UserError, match="--max-problems"):
        complete.check(Path("here"), 0.01)
    with pytest.raises(UserError, match=r"Correct them\. The first"):
        complete.check(Path("here"), 0.01, lost={"val"})
