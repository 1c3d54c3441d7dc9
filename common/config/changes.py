"""Which options a resumed run may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from common.config.marks import marks


@dataclass(frozen=True)
class MayChange:
    """Says, beside an option's type in `Annotated`, that a resumed run may change it.

    Args:
        when: called with the dataclass that the option is a field of; None: always.
        text: what the help says of it.
    """

    when: Callable[[Any], bool] | None = None
    text: str = "may change on resume"


MAY_CHANGE = MayChange()


def may_change(options: Any, prefix: str = "") -> Iterator[str]:
    """The names, dotted if nested, of the options that a resumed run may change.

    Args:
        options: a dataclass, those of the command that resumes.
        prefix: of the names.
    """
    for name, kind in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        if dataclasses.is_dataclass(value):
            yield from may_change(value, f"{prefix}{name}.")
        elif any(mark.when is None or mark.when(options) for mark in marks(kind, MayChange)):
            yield prefix + name
