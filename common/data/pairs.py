"""Streaming readers of sentence pairs, one for each file format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from common.data.damage import Damage
from common.data.reading import (
    LineFile,
    decode_line,
    is_unicode,
    json_object,
    table_rows,
)
from common.data.splits import split_name
from common.errors import UserError

_BLOCK = 2000  # lines that are read at a time


class Pair(NamedTuple):
    """A sentence and its translation, each on one line, as written."""

    source: str
    target: str


class Record(NamedTuple):
    """A pair, and its split if the file names one."""

    pair: Pair
    split: str | None = None


class Reader(Protocol):
    """Iterates over the pairs of a file; each iteration reads it from disk."""

    @property
    def name(self) -> str:
        """The file, for messages."""
        ...

    def __iter__(self) -> Iterator[tuple[int, Record | Damage]]:
        """The line number of each pair, and the pair or its damage."""
        ...


@dataclass(frozen=True)
class AlignedLines:
    """Two files, where line n of one is the translation of line n of the other.

    Args:
        source, target: the files, plain or `.gz`.
    """

    source: Path
    target: Path

    @property
    def name(self) -> str:
        return self.source.name

    def blocks(self) -> Iterator[tuple[int, list[bytes], list[bytes]]]:
        """Blocks of lines: the number of lines before, the source lines and the target lines.

        Raises:
            UserError: one file has more lines than the other.
        """
        with LineFile(self.source) as source_file, LineFile(self.target) as target_file:
            left, right = iter(source_file), iter(target_file)
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
                yield count, sources, targets
                count += len(sources)

    def pairs(self) -> Iterator[Pair]:
        """Every pair, so that line numbers are kept; what is not UTF-8 is read as an empty sentence."""
        for _, sources, targets in self.blocks():
            for source, target in zip(sources, targets, strict=True):
                yield Pair(_text_or_nothing(source), _text_or_nothing(target))

    def damage(self, first: int, sources: list[bytes], targets: list[bytes]) -> Iterator[str]:
        """The damaged lines of a block, with file and line number."""
        for path, lines in ((self.source, sources), (self.target, targets)):
            try:
                b"".join(lines).decode()  # much faster than line by line
                continue
            except UnicodeDecodeError:
                pass
            for number, line in enumerate(lines, start=first + 1):
                try:
                    decode_line(line)
                except Damage as damage:
                    yield f"{path.name}:{number}: {damage}"

    def __iter__(self) -> Iterator[tuple[int, Record | Damage]]:
        for first, sources, targets in self.blocks():
            lines = zip(sources, targets, strict=True)
            for number, (source, target) in enumerate(lines, start=first + 1):
                try:
                    yield number, Record(Pair(decode_line(source), decode_line(target)))
                except Damage as damage:
                    yield number, damage


def _text_or_nothing(line: bytes) -> str:
    try:
        return line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        return ""


@dataclass(frozen=True)
class TabbedPairs:
    """A file with a pair on each line, in tab-separated columns.

    Args:
        path: the file, plain or `.gz`.
        source, target: the numbers of their columns, counted from 1.
    """

    path: Path
    source: int
    target: int

    @property
    def name(self) -> str:
        return self.path.name

    def __iter__(self) -> Iterator[tuple[int, Record | Damage]]:
        return _parsed_lines(self.path, self._parse)

    def _parse(self, line: str) -> Record:
        columns = line.split("\t")
        if len(columns) < max(self.source, self.target):
            what = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
            raise Damage(f"{what}, where column {max(self.source, self.target)} is needed")
        return Record(Pair(columns[self.source - 1].strip(), columns[self.target - 1].strip()))


@dataclass(frozen=True)
class JsonPairs:
    """A file with a JSON object on each line, which holds the pair itself or in its `"translation"`.

    Args:
        path: the file, plain or `.gz`.
        source, target: the keys of the sentences. An optional key `split` names the split.
    """

    path: Path
    source: str
    target: str

    @property
    def name(self) -> str:
        return self.path.name

    def __iter__(self) -> Iterator[tuple[int, Record | Damage]]:
        return _parsed_lines(self.path, self._parse)

    def _parse(self, line: str) -> Record:
        record = json_object(line)
        texts = record.get("translation", record)
        if not isinstance(texts, dict):
            raise Damage('the "translation" is not an object')
        pair = Pair(_text_in(texts, self.source), _text_in(texts, self.target))
        return Record(pair, _named_split(record.get("split")))


def _text_in(texts: dict[str, Any], key: str) -> str:
    text = texts.get(key)
    if not isinstance(text, str):
        raise Damage(f'no text "{key}"')
    return _one_line(text)


@dataclass(frozen=True)
class TablePairs:
    """A table with a header and a pair in each row.

    Args:
        path: the file, plain or `.gz`.
        delimiter: between the fields.
        columns: the names of all columns.
        source, target: the columns of the sentences. An optional column `split` names the split.
    """

    path: Path
    delimiter: str
    columns: tuple[str, ...]
    source: str
    target: str

    @property
    def name(self) -> str:
        return self.path.name

    def __iter__(self) -> Iterator[tuple[int, Record | Damage]]:
        for number, row in table_rows(self.path, self.delimiter, len(self.columns)):
            try:
                yield number, row if isinstance(row, Damage) else self._parse(row)
            except Damage as damage:
                yield number, damage

    def _parse(self, row: list[str]) -> Record:
        fields = dict(zip(self.columns, row, strict=True))
        pair = Pair(_one_line(fields[self.source]), _one_line(fields[self.target]))
        return Record(pair, _named_split(fields.get("split")))


def _parsed_lines(
    path: Path, parse: Callable[[str], Record]
) -> Iterator[tuple[int, Record | Damage]]:
    with LineFile(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            try:
                yield number, parse(decode_line(line))
            except Damage as damage:
                yield number, damage


def _one_line(text: str) -> str:
    if not is_unicode(text):
        raise Damage("a lone surrogate in the text")
    return re.sub(r"[\r\n]+", " ", text).strip()


def _named_split(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w.-]*", value.strip()):
        raise Damage(f"a split without a usable name: {value!r}")
    return split_name(value)
