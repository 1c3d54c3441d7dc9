"""Damaged items of a data set: skipped and listed, or refused if they are too many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.errors import UserError, printable

NOT_UTF_8 = "not UTF-8 text"
"""How the damage of a line begins that cannot be decoded."""

_SOME, _MOST = 0.05, 0.5  # fractions


class Damage(Exception):
    """Why an item of a data set is skipped; the caller adds its file and line."""


def problem(where: str, what: object) -> str:
    """An entry of the list of problems, on one line."""
    return printable(f"{where}: {what}")


@dataclass
class Tally:
    """The items of one kind that a data set has, and what is wrong with some of them.

    Damage is counted among its like: a broken row is one of the rows, a missing picture one of the
    pictures, of all splits together.

    Args:
        total: the number of items, the damaged ones too.
        problems: what is wrong, one line for each damaged item.
    """

    total: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def fraction(self) -> float:
        """The fraction of the items that is damaged."""
        return len(self.problems) / max(1, self.total, len(self.problems))

    def report(self, where: str, what: object) -> None:
        """Add a problem of an item that is counted."""
        self.problems.append(problem(where, what))

    @contextmanager
    def reporting(self, where: str) -> Iterator[None]:
        """Count an item, and report the damage that ends the block."""
        self.total += 1
        try:
            yield
        except Damage as damage:
            self.report(where, damage)

    def check(self, max_problems: float, where: str, items: str, *, helps: bool = True) -> None:
        """Refuse data of which too large a fraction is damaged.

        A higher limit is advised where it helps: not where most of the items are damaged, nor where
        most that are damaged are no UTF-8, which one conversion mends.

        Args:
            max_problems: the largest accepted fraction of damaged items.
            where: the folder, for the message.
            items: what the message calls them.
            helps: whether the data could be used without the damaged items.

        Raises:
            UserError: more than that.
        """
        if self.fraction <= max_problems:
            return
        damaged, total = len(self.problems), max(self.total, len(self.problems))
        needed = math.ceil(self.fraction * 1000) / 1000
        undecoded = sum(NOT_UTF_8 in each for each in self.problems) * 2 > damaged
        advice = "Correct them"
        if undecoded and self.fraction > _SOME:
            advice = "Convert the file to UTF-8"
        elif self.fraction > _MOST:
            advice = "Correct them, or name the format that the data have (--format)"
        elif helps:
            advice += f", or raise the limit: --max-problems {needed:g} (max_problems in code)"
        raise UserError(
            f"{where}: {damaged:,} of {total:,} {items} are damaged ({100 * self.fraction:.3g}%), more "
            f"than the limit of {100 * max_problems:.3g}%. {advice}. "
            f"The first: {'; '.join(self.problems[:3])}."
        )
