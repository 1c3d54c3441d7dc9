"""The entries of a data set, one for each mention of an image, before its file is located."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.data.damage import Damage, Tally
from common.data.reading import is_unicode


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
        records: rows, lines or items of the files, and those that are damaged.
        captions: all of the captions, and those that are damaged.
        notes: remarks on what is unusual, but no damage.
        left_out: images that have captions, but are in no split.
    """

    entries: list[Entry] = field(default_factory=list)
    records: Tally = field(default_factory=Tally)
    captions: Tally = field(default_factory=Tally)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    _first: dict[tuple[str, str | None], Entry] = field(default_factory=dict, init=False)

    def reporting(self, where: str) -> AbstractContextManager[None]:
        """Count a record, and report the damage that ends the block."""
        return self.records.reporting(where)

    def mention(self, entry: Entry) -> None:
        """Add an entry; the captions of an image that the split has already go to its first entry."""
        first = self._first.setdefault((entry.image, entry.split), entry)
        if first is entry:
            self.entries.append(entry)
        else:
            first.captions += entry.captions

    def usable(self, captions: Iterable[Any], image: str, where: str) -> list[str]:
        """The captions of an image without the empty and malformed ones, which are reported."""
        texts: list[str] = []
        for number, caption in enumerate(captions):
            with self.captions.reporting(where):
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


# Not all that is in brackets: "[unreadable sign]" is a caption.
_BEGINS_AS_LIST = re.compile(r"\s*\[\s*(['\"\[{]|\]\s*$)")
_BETWEEN_TEXTS = {"[", "]", ",", "\n", ""}


def captions_in(value: Any) -> list[Any]:
    """The captions that a field of a record holds: one, a list, or a list in the text of a cell.

    Raises:
        Damage: the text begins as a list of JSON, Python or numpy does, and is none of texts.
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, str) or not _BEGINS_AS_LIST.match(value):
        return [value]
    with suppress(ValueError, RecursionError):
        return list(json.loads(value))
    # By tokens: numpy writes no commas, and for Python two texts without one between are one text.
    with suppress(tokenize.TokenError, SyntaxError, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of "\\d" in a text
        tokens = [*tokenize.generate_tokens(io.StringIO(value.strip()).readline)]
        texts = [each.string for each in tokens if each.type == tokenize.STRING]
        if {each.string for each in tokens} <= _BETWEEN_TEXTS | {*texts}:
            return [ast.literal_eval(text) for text in texts]
    raise Damage(f"a list of captions that cannot be read: {value[:60]}")
