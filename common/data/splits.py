"""Splits of a data set: their names, and seeded splits for data that has none."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

import numpy as np

from common.errors import UserError

Items = TypeVar("Items")

USUAL = ("train", "val", "test")
_ALIASES = dict(dev="val", valid="val", validation="val", training="train", restval="train")


def split_name(name: str) -> str:
    """The standard name of a split: `dev` is val, `restval` is train; other names are kept."""
    lower = name.strip().lower()
    return _ALIASES.get(lower, lower if lower in USUAL else name.strip())


@lru_cache
def split_in(name: str) -> str | None:
    """The usual split that the name of a file or a folder has a word for: of `captions_val2017`, val.

    None where it has none, or words for several.
    """
    words = map(split_name, re.findall(r"[^\W\d_]+", name))
    found = {*words} & {*USUAL}
    return found.pop() if len(found) == 1 else None


def named_split(
    splits: Mapping[str, Items], name: str, where: object, item: str = "item", advice: str = ""
) -> Items:
    """One of the splits of a data set.

    Args:
        splits: by name.
        name: of the split.
        where: names the data set in the message; None: it has no name.
        item: what the message calls one.
        advice: how to add a split.

    Raises:
        UserError: there is no such split, or it is empty.
    """
    if not splits.get(name):
        there = ", ".join(each for each, items in splits.items() if items) or "none"
        raise UserError(
            f"{where or 'the data'} has no {item}s in a split {name!r}; it has {there}.{advice}"
        )
    return splits[name]


def in_order(splits: Mapping[str, Items]) -> dict[str, Items]:
    """The splits with train, val and test first, the others after them in their order."""
    names: Iterable[str] = dict.fromkeys((*USUAL, *splits))
    return {name: splits[name] for name in names if name in splits}


def seeded_split(item: str, seed: int, val_fraction: float, test_fraction: float) -> str:
    """The split of an item: a function of its name and the seed, not of the other items.

    Returns:
        "train", "val" or "test".
    """
    return _split_at(_position(item, seed), val_fraction, test_fraction)


def _position(item: str, seed: int) -> float:
    text = f"{seed}:{item}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2**64


def _split_at(position: float, val_fraction: float, test_fraction: float) -> str:
    if position < val_fraction:
        return "val"
    return "test" if position < val_fraction + test_fraction else "train"


class SeededSplits:
    """`seeded_split`, with val and train never empty, and a limit on the size of val and of test.

    What has two different items or more gets at least one in val, unless its fraction is 0, and one in
    train: the item that comes first in the order of the seed, and the one that comes last. Whether that
    or the limit changes anything is known only after all items were seen: if `settle` returns True, the
    splits must be computed once more. Equal items are always in the same split.

        splits = SeededSplits(seed, 0.05, 0.05, most=5000)
        found = [splits(item) for item in items]
        if splits.settle():
            found = [splits(item) for item in items]

    Args:
        seed, val_fraction, test_fraction: as for `seeded_split`.
        most: items of val, and of test; the others are moved to train. None: no limit.
    """

    def __init__(
        self, seed: int, val_fraction: float, test_fraction: float, most: int | None = None
    ) -> None:
        self.val_fraction, self._most = val_fraction, most
        self._seed, self._fractions = seed, (val_fraction, test_fraction)
        self._seen = {"val": array("d"), "test": array("d")}
        self._kept: set[float] | None = None
        self._first, self._last = 1.0, 0.0  # positions
        self._moved: dict[float, str] = {}
        self._settled = False

    def __call__(self, item: str) -> str:
        """The split of an item."""
        position = _position(item, self._seed)
        split = _split_at(position, *self._fractions)
        if not self._settled:
            self._first, self._last = min(self._first, position), max(self._last, position)
            if split != "train" and self._most is not None:
                self._seen[split].append(position)
            return split
        if position in self._moved:
            return self._moved[position]
        return split if self._kept is None or position in self._kept else "train"

    @property
    def used(self) -> bool:
        """Whether there was any item."""
        return self._first <= self._last

    @property
    def single(self) -> bool:
        """Whether all items so far were the same, so that there is nothing to divide."""
        return self._first == self._last

    def settle(self) -> bool:
        """Fill val and train, and apply the limit, from now on; called once.

        Returns:
            Whether that changes the splits of the items so far.
        """
        self._settled = True
        if self.used and not self.single and self.val_fraction:
            ends = {self._first: "val", self._last: "train"}
            self._moved = {
                position: split for position, split in ends.items()
                if _split_at(position, *self._fractions) != split
            }  # fmt: skip
        return self._limit() or bool(self._moved)

    def _limit(self) -> bool:
        if self._most is None or all(len(seen) <= self._most for seen in self._seen.values()):
            return False
        self._kept = set()
        for seen in self._seen.values():
            # The lowest positions; an item that alone exceeds the limit is passed over.
            positions, items = np.unique(seen, return_counts=True)
            positions, items = positions[items <= self._most], items[items <= self._most]
            self._kept.update(positions[items.cumsum() <= self._most].tolist())
        return True


def divided_split(splits: Collection[str], val_fraction: float | None) -> str | None:
    """The split from which the one of train and val that is missing is drawn.

    Args:
        splits: that the data have.
        val_fraction: fraction of it that becomes val; None: nothing is drawn.

    Returns:
        "train" or "val"; None where neither or both are there.
    """
    here = {"train", "val"} & {*splits}
    return here.pop() if val_fraction is not None and len(here) == 1 else None


def check_fractions(
    val_fraction: float, test_fraction: float, max_problems: float, what: str
) -> None:
    """Refuse fractions that are out of range.

    Args:
        val_fraction, test_fraction: fractions of the items, for data without splits.
        max_problems: accepted fraction of damaged items.
        what: an item, for the message.

    Raises:
        UserError: one is not between 0 and 1, or nothing is left for training.
    """
    if not 0 <= max_problems <= 1:
        raise UserError(f"max_problems must be between 0 and 1, not {max_problems:g}.")
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise UserError(
            f"val_fraction {val_fraction:g} and test_fraction {test_fraction:g} leave no {what} for "
            f"training: choose a val_fraction below {1 - max(0, test_fraction):g}."
        )
