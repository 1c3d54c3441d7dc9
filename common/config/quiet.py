"""The option of every command that shows progress: not to show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from common.config.changes import MayChange
from common.config.marks import BASIC, LOCAL


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """A command that shows progress; see `common.progress.quietly`."""

    quiet: Annotated[bool, BASIC, LOCAL, MayChange(text="")] = False
    """Print results, warnings and errors alone."""
