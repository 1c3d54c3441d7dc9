"""The entries of a data set, one for each mention of an image, before its file is located."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.data.damage import Damage, problem
from common.data.reading import is_unicode
from common.data.records import Fields, Records


@dataclass(slots=True)
class Entry:
    """One mention of an image.

    Args:
        image: the image's name, as written in the data set.
        captions: its captions, none of them empty.
        split: train, val, test or another name; None where the data set has no splits.
        where: file and line, or file and item, for messages.
        folder: the folder in which the format keeps the image, where it has one.
        facts: anything else of the image: the scene of a generated picture, an official id.
    """

    image: str
    captions: list[str]
    split: str | None
    where: str
    folder: str | None = None
    facts: dict[str, Any] | None = None


@dataclass
class Reading:
    """What a reader found: the entries in file order, and what was wrong.

    Args:
        entries: one per mention of an image.
        problems: damage that was skipped, one line each, with file and line.
        notes: remarks on what is unusual, but no damage.
        left_out: images that have captions, but are in no split.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def report(self, where: str, what: object) -> None:
        """Add a problem, on one line even if a name in it has line ends."""
        self.problems.append(problem(where, what))

    @contextmanager
    def reporting(self, where: str) -> Iterator[None]:
        """Report the damage that ends the block."""
        try:
            yield
        except Damage as damage:
            self.report(where, damage)

    def undamaged(self, path: Path, records: Records) -> Iterator[tuple[str, Fields]]:
        """The records of a file that are not damaged, each with file and line; others are reported."""
        for number, fields in records:
            where = f"{path.name}:{number}"
            if isinstance(fields, Damage):
                self.report(where, fields)
            else:
                yield where, fields

    def usable(self, captions: Iterable[Any], image: str, where: str) -> list[str]:
        """The captions of an image without the empty and malformed ones, which are reported."""
        texts: list[str] = []
        for number, caption in enumerate(captions):
            with self.reporting(where):
                texts.append(caption_text(caption, f"caption {number} of {image}"))
        return texts


Read = Callable[[list[Path]], Reading]


def caption_text(caption: Any, what: str) -> str:
    """A caption on one line, without the blanks at its ends and the doubled ones inside.

    Raises:
        Damage: it is empty, or no text at all; the message begins with `what`.
    """
    if not isinstance(caption, str):
        raise Damage(f"{what} is not text")
    text = " ".join(caption.split())
    if not text:
        raise Damage(f"{what} is empty")
    if not is_unicode(text):
        raise Damage(f"{what} has a lone surrogate in it")
    return text
