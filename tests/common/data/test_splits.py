"""Splits: their names, their order, and the split of data that has none."""

from __future__ import annotations

import pytest

from common.data.splits import (
    SeededSplits,
    check_fractions,
    divided_split,
    in_order,
    seeded_split,
    split_name,
)
from common.errors import UserError


def test_seeded_split_does_not_change_when_images_are_added() -> None:
    names = [f"{number}.jpg" for number in range(2000)]
    few = {name: seeded_split(name, 0, 0.1, 0.2) for name in names[:1000]}
    many = {name: seeded_split(name, 0, 0.1, 0.2) for name in reversed(names)}
    assert all(many[name] == split for name, split in few.items())
    shares = {split: list(many.values()).count(split) / len(many) for split in set(many.values())}
    assert shares == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.03)
    other = [seeded_split(name, 1, 0.1, 0.2) for name in names]
    assert other != [many[name] for name in names]


def test_seeded_split_is_the_same_on_every_machine() -> None:
    # Fixed once: a change would move images of existing runs from validation to training.
    splits = [seeded_split(f"{number}.jpg", 0, 0.25, 0.25) for number in range(8)]
    assert splits == ["train", "test", "train", "train", "train", "train", "train", "val"]


def limited(items: list[str], val_fraction: float, test_fraction: float, most: int) -> list[str]:
    splits = SeededSplits(3, val_fraction, test_fraction, most)
    found = [splits(item) for item in items]
    assert found == [seeded_split(item, 3, val_fraction, test_fraction) for item in items]
    return [splits(item) for item in items] if splits.settle() else found


def test_val_and_test_may_be_limited() -> None:
    items = [f"{number}.jpg" for number in range(1000)]
    free = [seeded_split(item, 3, 0.2, 0.1) for item in items]
    assert limited(items, 0.2, 0.1, most=free.count("val")) == free
    for most in (free.count("val") - 1, 30, 0):
        found = limited(items, 0.2, 0.1, most)
        for split in ("val", "test"):
            assert found.count(split) == min(most, free.count(split))
        assert {now for now, old in zip(found, free, strict=True) if now != old} == {"train"}
        assert limited(items[::-1], 0.2, 0.1, most) == found[::-1]  # in whatever order they come


def test_equal_items_stay_together_within_the_limit() -> None:
    items = [f"{number // 3}.jpg" for number in range(900)]
    found = limited(items, 0.5, 0.0, most=100)
    assert found.count("val") == 99  # and not a hundred, which three do not divide
    assert len(set(zip(items, found, strict=True))) == 300


def test_an_item_that_is_everywhere_leaves_room_for_the_others() -> None:
    items = [f"{number}.jpg" for number in range(100)]
    first = items[limited(items, 0.5, 0.0, most=1).index("val")]
    found = limited([first] * 5 + items, 0.5, 0.0, most=5)
    assert found.count("val") == 5 and found[:5] == ["train"] * 5


def test_names_of_splits_in_use_are_understood() -> None:
    names = ["dev", "Valid", "validation ", "restval", "training", "TEST", "val", "test_2016"]
    assert [split_name(name) for name in names] == [
        *("val", "val", "val", "train", "train", "test", "val", "test_2016")
    ]


def test_the_usual_splits_come_first() -> None:
    assert list(in_order({"b": 1, "test": 2, "a": 3, "train": 4})) == ["train", "test", "b", "a"]


def test_shares_are_checked() -> None:
    check_fractions(0, 0.99, 1, "pair")
    with pytest.raises(UserError, match="leave no pair for training"):
        check_fractions(0.5, 0.5, 0, "pair")
    with pytest.raises(UserError, match="leave no pair for training"):
        check_fractions(-0.1, 0.5, 0, "pair")
    with pytest.raises(UserError, match="max_problems must be between 0 and 1, not 5"):
        check_fractions(0, 0, 5, "pair")


@pytest.mark.parametrize("fractions", [(0.05, 0.05), (0.1, 0.1), (0.001, 0.9), (0.98, 0.01)])
@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_val_and_train_have_an_item_each_whatever_chance_has_it(
    count: int, fractions: tuple[float, float]
) -> None:
    for seed in range(20):
        items = [f"{number}.jpg" for number in range(count)]
        splits = SeededSplits(seed, *fractions, most=5000)
        natural = found = [splits(item) for item in items]
        if splits.settle():
            found = [splits(item) for item in items]
        assert {"train", "val"} <= {*found}
        if {"train", "val"} <= {*natural}:
            assert found == natural  # as earlier versions drew it
        again = SeededSplits(seed, *fractions, most=5000)
        [again(item) for item in items[::-1]], again.settle()
        assert [again(item) for item in items] == found  # in whatever order they come


def test_nothing_is_drawn_for_val_where_none_is_wanted_or_nothing_can_be_divided() -> None:
    none = SeededSplits(0, 0.0, 0.0)
    assert {none(f"{number}.jpg") for number in range(50)} == {"train"} and not none.settle()
    single, unused = SeededSplits(0, 0.5, 0.0), SeededSplits(0, 0.5, 0.0)
    assert single("a") == single("a") and single.single and not single.settle()
    assert single.used and not unused.used and not unused.single and not unused.settle()


def test_what_is_missing_is_drawn_from_what_is_there() -> None:
    assert divided_split(["train", "test"], 0.1) == "train"
    assert divided_split(["val", "test_2016"], 0.0) == "val"
    for splits, fraction in ((["train", "val"], 0.1), (["test"], 0.1), (["train"], None)):
        assert divided_split(splits, fraction) is None
