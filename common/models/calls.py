"""What each sentence of a call may have its own of: the bounds of its length, and how it begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from common.decoding.constraints import one_for_each
from common.errors import UserError

Prefix: TypeAlias = str | Sequence[str | None] | None
"""The text that sentences begin with: one for all, or one for each ("" or None for none)."""

BOUNDS = ("max_length", "min_length")


def each_prefix(prefix: Prefix, count: int) -> list[str]:
    """The prefix of each of `count` sentences; "" where it has none.

    Raises:
        ValueError: they are not one for each sentence.
    """
    if prefix is None or isinstance(prefix, str):
        return [prefix or ""] * count
    if len(prefix) != count:
        raise ValueError(f"prefix has {len(prefix)} texts for {count} sentences")
    return [text or "" for text in prefix]


def check_room(begun: Sequence[Sequence[str]], longest: Sequence[int]) -> None:
    """Refuse prefixes that are longer than their sentences may be.

    Args:
        begun: the tokens of each prefix.
        longest: most tokens of each sentence.

    Raises:
        UserError: one is.
    """
    for tokens, most in zip(begun, longest, strict=True):
        if len(tokens) > most:
            raise UserError(
                f"a prefix of {len(tokens)} tokens has no room in a sentence of {most}: shorten it, or "
                "raise max_length (--max-length)."
            )


def of_rows(call: Any, count: int, rows: Iterable[int]) -> Any:
    """A call for some of `count` sentences, with what is their own where each sentence has its own.

    Args:
        call: arguments by name, of which `BOUNDS` and `prefix` may be of each sentence.
        count: of the sentences.
        rows: those that are wanted, in their order; one may be there more than once.

    Raises:
        ValueError: some are not one for each sentence.
    """
    rows = list(rows)
    own: dict[str, Sequence[Any]] = {
        name: one_for_each(call[name], count, name) for name in BOUNDS if call.get(name) is not None
    }
    if call.get("prefix") is not None:
        own["prefix"] = each_prefix(call["prefix"], count)
    return call | {name: [values[row] for row in rows] for name, values in own.items()}
