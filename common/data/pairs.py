"""Streaming readers of sentence pairs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from common.data.damage import Damage, Tally, problem
from common.data.reading import byte_lines, decode_line
from common.data.records import Fields, Records
from common.data.splits import split_name
from common.errors import UserError

_BLOCK = 2000  # pairs that are read at a time


class Pair(NamedTuple):
    """A sentence and its translation, each on one line, as written."""

    source: str
    target: str


def unambiguous(pairs: Iterable[Pair], count: int, seed: int) -> list[Pair]:
    """Some of the pairs whose source has no other target among them, drawn by the seed."""
    targets: dict[str, set[str]] = {}
    for pair in pairs:
        targets.setdefault(pair.source, set()).add(pair.target)
    found = [Pair(source, *only) for source, only in targets.items() if len(only) == 1]
    return random.Random(seed).sample(found, min(count, len(found)))


class Block(NamedTuple):
    """Some pairs of a file, in order: N sources, N targets, and N splits.

    Sentences are UTF-8 bytes, with or without the line's end; a split is None if the file names none.
    """

    sources: list[bytes]
    targets: list[bytes]
    splits: list[str | None]


class PairReader(Protocol):
    """Reads the pairs of a file, from disk at each call."""

    @property
    def name(self) -> str:
        """The file, for messages."""
        ...

    def blocks(self, damage: Tally) -> Iterator[Block]:
        """The usable pairs in blocks; all pairs are counted in `damage`, and the damaged reported."""
        ...


@dataclass(frozen=True)
class AlignedLines:
    """Two files, where line n of one is the translation of line n of the other.

    Every line counts, so that line numbers are kept: one that is not UTF-8 is an empty sentence.

    Args:
        source, target: the files, plain or `.gz`.
        split: of the pairs; None leaves it open.
    """

    source: Path
    target: Path
    split: str | None = None

    @property
    def name(self) -> str:
        return self.source.name

    def blocks(self, damage: Tally) -> Iterator[Block]:
        """See `PairReader`.

        Raises:
            UserError: one file has more lines than the other.
        """
        left, right = byte_lines(self.source), byte_lines(self.target)
        count = 0
        while True:
            sources, targets = list(islice(left, _BLOCK)), list(islice(right, _BLOCK))
            if len(sources) != len(targets):
                lines = count + len(sources) + sum(1 for _ in left)
                others = count + len(targets) + sum(1 for _ in right)
                raise UserError(
                    f"{self.source} has {lines:,} lines, but {self.target} has {others:,}. "
                    "Line n of one must be the translation of line n of the other."
                )
            if not sources:
                return
            damaged = _empty_damaged(self.target, targets, count)
            damaged |= _empty_damaged(self.source, sources, count)
            damage.total += len(sources)
            damage.problems += [damaged[row] for row in sorted(damaged)]
            yield Block(sources, targets, [self.split] * len(sources))
            count += len(sources)


@dataclass(frozen=True)
class SourceLines:
    """A file of sentences whose translations are not there, a blind test: all targets are empty.

    Args:
        source: the file, plain or `.gz`.
        split: of the sentences.
    """

    source: Path
    split: str | None = None

    @property
    def name(self) -> str:
        return self.source.name

    def blocks(self, damage: Tally) -> Iterator[Block]:
        """See `PairReader`."""
        lines, count = byte_lines(self.source), 0
        while sources := list(islice(lines, _BLOCK)):
            damage.total += len(sources)
            damage.problems += _empty_damaged(self.source, sources, count).values()
            yield Block(sources, [b""] * len(sources), [self.split] * len(sources))
            count += len(sources)


def _empty_damaged(path: Path, lines: list[bytes], before: int) -> dict[int, str]:
    """Replace the lines that are not UTF-8 by empty ones, in place.

    Args:
        path: their file.
        lines: some of its lines.
        before: the number of lines above them.

    Returns:
        What was wrong, by position in `lines`.
    """
    damaged = {}
    try:
        b"".join(lines).decode()  # much faster than line by line
    except UnicodeDecodeError:
        for index, line in enumerate(lines):
            try:
                decode_line(line)
            except Damage as damage:
                damaged[index] = problem(f"{path.name}:{before + index + 1}", damage)
                lines[index] = b""
    return damaged


@dataclass(frozen=True)
class RecordPairs:
    """A file with a record for each pair.

    The texts are fields of the record, or of the object in its field `translation` (as Hugging Face
    has them). An optional field `split` names the split.

    Args:
        path: the file, plain or `.gz`.
        read: reads its records.
        source, target: the fields of the sentences.
        split: of the pairs that name none. If it is None, all pairs name their split, or none.
        blind: the records have no targets, as those of a blind test: all targets are empty.
        unit: what stands between the file's name and the number of a record in messages.
    """

    path: Path
    read: Callable[[Path], Records]
    source: str
    target: str
    split: str | None = None
    blind: bool = False
    unit: str = ":"

    @property
    def name(self) -> str:
        return self.path.name

    def blocks(self, damage: Tally) -> Iterator[Block]:
        """See `PairReader`."""
        pairs = self._pairs(damage)
        while block := list(islice(pairs, _BLOCK)):
            sources, targets, splits = map(list, zip(*block, strict=True))
            yield Block(sources, targets, splits)

    def _pairs(self, damage: Tally) -> Iterator[tuple[bytes, bytes, str | None]]:
        named: bool | None = None  # whether pairs name their splits: as the first does
        for number, fields in self.read(self.path):
            damage.total += 1
            try:
                if isinstance(fields, Damage):
                    raise fields
                texts, split = texts_in(fields), _split_in(fields)
                source = _line_in(texts, self.source)
                target = b"" if self.blind else _line_in(texts, self.target)
                named = split is not None if named is None else named
                if self.split is None and named != (split is not None):
                    raise Damage("has a split" if split else 'no "split", which other pairs have')
                yield source, target, split or self.split
            except Damage as what:
                damage.report(f"{self.name}{self.unit}{number}", what)


def texts_in(fields: Fields) -> Fields:
    """The fields of a record that hold its texts: its own, or those of its `translation`."""
    translation = fields.get("translation")
    return translation if isinstance(translation, dict) else fields


def _line_in(texts: Fields, key: str) -> bytes:
    text = texts.get(key)
    if not isinstance(text, str):
        raise Damage(f'no text "{key}"')
    try:
        return re.sub(r"[\r\n]+", " ", text).strip().encode()
    except UnicodeEncodeError:
        raise Damage("a lone surrogate in the text") from None


def _split_in(fields: Fields) -> str | None:
    value = fields.get("split")
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w.-]*", value.strip()):
        raise Damage(f"a split without a usable name: {value!r}")
    return split_name(value)
