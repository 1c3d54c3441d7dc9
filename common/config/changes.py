"""Which options a resumed run may change, and the refusal of all others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.marks import Local, marks, settings
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
LEFT_OUT = "may be left out on resume"


def may_change(options: Any) -> set[str]:
    """The names, dotted if nested, of the options of a dataclass that a resumed run may change."""
    return {
        name
        for name, kind, owner in settings(options)
        if any(mark.when is None or mark.when(owner) for mark in marks(kind, MayChange))
    }


def hyperparameters(options: Any) -> set[str]:
    """The names, dotted if nested, of the options of a dataclass that decide what is learnt: all but
    paths, and what a resumed run may always change, as the device."""
    found = set()
    for name, kind, owner in settings(options):
        value = getattr(owner, name.rpartition(".")[2])
        is_path = isinstance(value, Path) or isinstance(value, str) and os.path.isabs(value)
        changes = any(mark.when is None for mark in marks(kind, MayChange))
        if not (is_path or changes or marks(kind, Local)):
            found.add(name)
    return found


def _same(old: Any, new: Any) -> bool:
    """Whether two values are equal; a path that an earlier version kept as it was typed equals the
    absolute one."""
    if isinstance(old, str) and isinstance(new, str) and os.path.isabs(new):
        old = os.path.abspath(old)
    return old == new


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
        if name in allowed:
            continue
        if name not in now:
            raise UserError(
                f"{run} is of another version of unroll, which had a setting {name}. Resume it with "
                "that version, or start another run."
            )
        if not _same(value, now[name]):
            raise UserError(
                f"{run} was started with {name} = {json.dumps(value)}, not {json.dumps(now[name])}. "
                "Resume it unchanged, or start another run."
            )
