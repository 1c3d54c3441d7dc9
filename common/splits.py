"""Splits of a data set: their names, and how one is chosen for data that has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

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
    text = f"{seed}:{item}".encode(errors="surrogatepass")
    position = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2**64
    if position < val_share:
        return "val"
    return "test" if position < val_share + test_share else "train"


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
