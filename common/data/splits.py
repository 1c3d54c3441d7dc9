"""Splits of a data set: their names, and how one is chosen for data that has none."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np

from common.errors import UserError

Items = TypeVar("Items")

USUAL = ("train", "val", "test")


def split_name(name: str) -> str:
    """The project's name of a split: `dev` is val, `restval` is train; other names stay."""
    lower = name.strip().lower()
    usual = {
        "dev": "val",
        "valid": "val",
        "validation": "val",
        "training": "train",
        "restval": "train",
    }
    return usual.get(lower, lower if lower in USUAL else name.strip())


def in_order(splits: Mapping[str, Items]) -> dict[str, Items]:
    """The splits with train, val and test first, the others after them as they are."""
    names: Iterable[str] = dict.fromkeys((*USUAL, *splits))
    return {name: splits[name] for name in names if name in splits}


def seeded_split(item: str, seed: int, val_share: float, test_share: float) -> str:
    """The split of an item: a function of its name and the seed, whatever other items there are.

    Returns:
        "train", "val" or "test".
    """
    return _split_at(_position(item, seed), val_share, test_share)


def _position(item: str, seed: int) -> float:
    text = f"{seed}:{item}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2**64


def _split_at(position: float, val_share: float, test_share: float) -> str:
    if position < val_share:
        return "val"
    return "test" if position < val_share + test_share else "train"


class SeededSplits:
    """`seeded_split` for items of which val and test are to have no more than so many.

    How many there are is known only after all were seen: then `limit` says whether their splits
    must be asked for once more. Equal items are always in one split.

        splits = SeededSplits(seed, 0.05, 0.05, most=5000)
        found = [splits(item) for item in items]
        if splits.limit():
            found = [splits(item) for item in items]

    Args:
        seed, val_share, test_share: as for `seeded_split`.
        most: items of val, and of test; what is beyond is for training.
    """

    def __init__(self, seed: int, val_share: float, test_share: float, most: int) -> None:
        self._seed, self._shares, self._most = seed, (val_share, test_share), most
        self._seen = {"val": array("d"), "test": array("d")}
        self._kept: set[float] | None = None

    def __call__(self, item: str) -> str:
        """The split of an item."""
        position = _position(item, self._seed)
        split = _split_at(position, *self._shares)
        if split == "train":
            return split
        if self._kept is None:
            self._seen[split].append(position)
            return split
        return split if position in self._kept else "train"

    def limit(self) -> bool:
        """Hold to the limit from now on; whether that changes the splits of the items so far."""
        if all(len(seen) <= self._most for seen in self._seen.values()):
            return False
        self._kept = {each for seen in self._seen.values() for each in self._lowest(seen)}
        return True

    def _lowest(self, seen: array[float]) -> Iterator[float]:
        """The lowest positions; one of more equal items than there is room for is passed over."""
        room = self._most
        for position, items in zip(*np.unique(seen, return_counts=True), strict=True):
            if items <= room:
                room -= items
                yield float(position)
            if not room:
                return


def check_shares(val_share: float, test_share: float, max_problems: float, what: str) -> None:
    """Refuse shares that are none.

    Args:
        val_share, test_share: of the items, for data without splits.
        max_problems: of damage that is skipped.
        what: an item, for the message.

    Raises:
        UserError: one is no share, or nothing is left for training.
    """
    if not 0 <= max_problems <= 1:
        raise UserError(f"max_problems is a share between 0 and 1, not {max_problems:g}.")
    if min(val_share, test_share) < 0 or val_share + test_share >= 1:
        raise UserError(
            f"val_share {val_share:g} and test_share {test_share:g} leave no {what} for training."
        )
