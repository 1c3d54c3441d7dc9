"""Damaged items of a data set: skipped and listed, or refused if they are too many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.errors import UserError, printable


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

    def check(self, max_problems: float, where: str, items: str) -> None:
        """Refuse data of which too large a fraction is damaged.

        Args:
            max_problems: the largest accepted fraction of damaged items.
            where: the folder, for the message.
            items: what the message calls them.

        Raises:
            UserError: more than that.
        """
        if self.fraction <= max_problems:
            return
        damaged, total = len(self.problems), max(self.total, len(self.problems))
        advice = "Correct them."
        if damaged < total:  # with none left, another limit leads to another error
            needed = math.ceil(self.fraction * 1000) / 1000
            advice = f"Correct them, or raise the limit: --max-problems {needed:g} (max_problems in code)."
        raise UserError(
            f"{where}: {damaged:,} of {total:,} {items} are damaged ({100 * self.fraction:.3g}%), more "
            f"than the limit of {100 * max_problems:.3g}%. {advice} "
            f"The first: {'; '.join(self.problems[:3])}."
        )
