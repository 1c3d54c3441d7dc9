"""Damage in data: skipped and listed item by item, refused where it is too much."""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.errors import UserError


class Damage(Exception):
    """Why one item of a data set is skipped; its place in the file is added where it is caught."""


def problem(where: str, what: object) -> str:
    """A line of the list of problems: on one line even if a name in it has line ends."""
    text = f"{where}: {what}"
    return "".join(char if char.isprintable() else "?" for char in text)


def remarks(notes: Sequence[str], problems: Sequence[str], most: int) -> list[str]:
    """The lines below a data set's figures: all notes, and the first few problems.

    Args:
        notes: what is unusual.
        problems: what was wrong and skipped.
        most: problems that are listed; the others are counted.
    """
    lines = [f"note: {note}" for note in notes]
    lines += [f"problem: {each}" for each in problems[:most]]
    if len(problems) > most:
        lines.append(f"... and {len(problems) - most:,} more problems")
    return lines


def check_problems(problems: Sequence[str], usable: int, max_problems: float, where: str) -> None:
    """Refuse data of which too large a share is damaged.

    Args:
        problems: what was wrong, one line each.
        usable: how many items are in order.
        max_problems: the largest share of problems, among problems and usable items, that is
            accepted.
        where: the folder, for the message.

    Raises:
        UserError: more than that.
    """
    total = len(problems) + usable
    share = len(problems) / max(1, total)
    if share <= max_problems:
        return
    needed = math.ceil(share * 1000) / 1000
    raise UserError(
        f"{where}: {len(problems):,} of {total:,} items are damaged ({100 * share:.3g}%), more "
        f"than the limit of {100 * max_problems:.3g}%. Put them right, or raise the limit: "
        f"--max-problems {needed:g} (max_problems in code). The first: {'; '.join(problems[:3])}."
    )
