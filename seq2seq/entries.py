"""What a reader of parallel text found, and how one is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common.data.pairs import PairReader


@dataclass
class Reading:
    """What a folder holds.

    Args:
        source, target: the languages; or the columns, or keys, that stand for them.
        readers: of its files.
        notes: remarks on what is unusual, but no damage.
    """

    source: str
    target: str
    readers: list[PairReader] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Read = Callable[[list[Path], str | None, str | None], Reading]
