"""Damaged items of a data set: skipped and listed, or refused if they are too many."""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.errors import UserError, printable


class Damage(Exception):
    """Why an item of a data set is skipped; the caller adds its file and line."""


def problem(where: str, what: object) -> str:
    """An entry of the list of problems, on one line."""
    return printable(f"{where}: {what}")


def check_problems(problems: Sequence[str], usable: int, max_problems: float, where: str) -> None:
    """Refuse data of which too large a fraction is damaged.

    Args:
        problems: what was wrong, one line each.
        usable: the number of undamaged items.
        max_problems: the largest accepted fraction of problems among problems and usable items.
        where: the folder, for the message.

    Raises:
        UserError: more than that.
    """
    total = len(problems) + usable
    fraction = len(problems) / max(1, total)
    if fraction <= max_problems:
        return
    needed = math.ceil(fraction * 1000) / 1000
    raise UserError(
        f"{where}: {len(problems):,} of {total:,} items are damaged ({100 * fraction:.3g}%), more "
        f"than the limit of {100 * max_problems:.3g}%. Correct them, or raise the limit: "
        f"--max-problems {needed:g} (max_problems in code). The first: {'; '.join(problems[:3])}."
    )
