"""Which options a resumed run may change, and the refusal of all others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from common.config.marks import marks
from common.config.plain import dotted
from common.errors import UserError


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


def refuse_changes(
    run: str, old: dict[str, Any], new: dict[str, Any], allowed: Collection[str]
) -> None:
    """Refuse options that are not those of the run that is to be resumed.

    Args:
        run: its folder, for the message.
        old, new: plain values; an option that only `new` has came after the run.
        allowed: dotted names of those that may be changed.

    Raises:
        UserError: another option is changed, or is no longer known.
    """
    now = dict(dotted(new))
    for name, value in dotted(old):
        if name not in now:
            raise UserError(
                f"{run} is of another version of unroll, which had a setting {name}. Resume it with "
                "that version, or start another run."
            )
        if name not in allowed and value != now[name]:
            raise UserError(
                f"{run} was started with {name} = {json.dumps(value)}, not {json.dumps(now[name])}. "
                "Resume it unchanged, or start another run."
            )
