"""Records of text files: JSON lines, tables with a header, lines of tab-separated columns.

Each reader iterates over (line number, record), where a record is a dict of its fields, or the
`Damage` of the line.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, dropwhile, islice, zip_longest
from pathlib import Path
from typing import Any

from common.data.damage import Damage
from common.data.reading import byte_lines, decode_line, numbered_lines, read_content
from common.data.splits import USUAL, split_name
from common.errors import UserError

Fields = dict[str, Any]
Records = Iterable[tuple[int, Fields | Damage]]

_DELIMITERS = "\t,;|"
_LINES_OF_A_ROW = 20  # a quote that is not closed by then is damage


def json_lines(path: Path) -> Records:
    """The objects of a file with a JSON object on each line; blank lines are skipped."""
    return _parsed_lines(path, json_object)


def json_list(path: Path) -> Records:
    """The records of a file with one JSON value: a list, or an object that holds it, as under "data".

    Their numbers count from 1. An object with a list for each split, as under "train" and "test", gives
    records with a field `split`; one with a list of texts for each column, the rows.

    Raises:
        UserError: it is not JSON, or neither of these.
    """
    try:
        content = json.loads(read_content(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error.msg}).") from None
    except (RecursionError, ValueError):  # Python's own limits
        raise UserError(
            f"{path}: not usable JSON (nested too deeply, or a number too long)."
        ) from None
    for number, (record, split) in enumerate(_listed(path, content), 1):
        try:
            yield number, _record(record) | ({} if split is None else {"split": split})
        except Damage as damage:
            yield number, damage


def _listed(path: Path, content: Any) -> Iterator[tuple[Any, str | None]]:
    """The records in the value of a file, each with its split, if it has one."""
    lists = {"": content} if isinstance(content, list) else {}
    if isinstance(content, dict):
        lists = {key: each for key, each in content.items() if isinstance(each, list)}
    if not lists:
        raise UserError(
            f'{path}: no list of records in it, as [{{"source": ..., "target": ...}}, ...].'
        )
    if len(lists) > 1 and all(isinstance(each, str) for each in chain(*lists.values())):
        rows = zip_longest(*lists.values())
        yield from ((dict(zip(lists, row, strict=True)), None) for row in rows)
        return
    splits = {key: split_name(key) for key in lists if split_name(key) in USUAL}
    for key in splits or list(lists)[:1]:
        yield from ((each, splits.get(key)) for each in lists[key])


def _record(value: Any) -> Fields:
    """A record of JSON: an object, or a list of texts, whose names are "1", "2", ...

    Raises:
        Damage: it is neither.
    """
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], str):
        return {str(number): each for number, each in enumerate(value, 1)}
    if not isinstance(value, dict):
        raise Damage("not an object")
    return value


def json_object(line: str) -> Fields:
    """The object that a line of JSON holds, or its list of texts as one, with names "1", "2", ...

    Raises:
        Damage: it is no JSON object.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise Damage(f"not JSON ({getattr(error, 'msg', error)})") from None
    except RecursionError:
        raise Damage("not usable JSON (nested too deeply)") from None
    return _record(record)


def tabbed_lines(path: Path, width: int) -> Records:
    """The columns of tab-separated lines without a header, named "1", "2", ...

    Args:
        path: the file, plain or `.gz`.
        width: lines with fewer columns are damaged.
    """

    def parse(line: str) -> Fields:
        columns = line.split("\t")
        if len(columns) < width:
            raise Damage(f"{_columns(len(columns))}, where column {width} is needed")
        return {str(number): column for number, column in enumerate(columns, 1)}

    return _parsed_lines(path, parse)


def _parsed_lines(path: Path, parse: Callable[[str], Fields]) -> Records:
    for number, line in enumerate(byte_lines(path), start=1):
        if line.isspace():
            continue
        try:
            yield number, parse(decode_line(line))
        except Damage as damage:
            yield number, damage


class Table:
    """The rows of a table, whose first line that is not blank names the columns.

    Fields are separated by tabs, commas, semicolons or "|": the first of these that is in the header,
    or the one that a line `sep=;` before it names.
    With "|", quotes have no meaning, and the last field may contain "|" (as in the captions of
    Flickr30k). A field in double quotes may contain line ends. Rows are parsed one at a time, so that
    an unclosed quote damages one row only.

    Args:
        path: the file, plain or `.gz`.
        errors: handling of a header that is not UTF-8, as for `bytes.decode`.

    Attributes:
        header: the line number of the header.
        columns: the names, without blanks around them; one that is there twice gets a number.

    Raises:
        UserError: the file is missing; or the header is not UTF-8, and errors is "strict".
    """

    def __init__(self, path: Path, errors: str = "strict") -> None:
        self.path = path
        lines = numbered_lines(path, errors)
        self.header, line = next(lines, (1, ""))
        if named := re.fullmatch(r"sep=(.)", line.strip(), re.IGNORECASE):  # as Excel has it
            self.header, line = next(lines, (self.header, ""))
        there = [sign for sign in _DELIMITERS if sign in line]
        self.delimiter = named[1] if named else [*there, ","][0]
        try:
            names = next(csv.reader([line], delimiter=self.delimiter), [])
        except csv.Error:
            names = []
        seen = Counter[str]()
        self.columns = tuple(_numbered(name.strip(), seen) for name in names)

    def __iter__(self) -> Iterator[tuple[int, Fields | Damage]]:
        """The number of the first line of each row, and the row."""
        # Bytes that are not UTF-8 are kept until it is known which row they belong to.
        lines = numbered_lines(self.path, errors="surrogateescape")
        lines = dropwhile(lambda each: each[0] <= self.header, lines)
        ahead = deque(islice(lines, _LINES_OF_A_ROW))
        while ahead:
            fields, used = self._first_row(text for _, text in ahead)
            number, line = ahead[0]
            if self.delimiter == "\t" and len(fields) != len(self.columns):
                # Many tables with tabs have no quotes: "Stop!" is then a part of the text.
                plain = line.split("\t")
                fields, used = (plain, 1) if len(plain) == len(self.columns) else (fields, used)
            text = "\n".join(ahead.popleft()[1] for _ in range(used))
            ahead.extend(islice(lines, used))
            damage = self._damage(text, fields)
            yield number, damage or dict(zip(self.columns, fields, strict=True))

    def _first_row(self, lines: Iterator[str]) -> tuple[list[str], int]:
        """The fields of the first row, none if its quotes are damaged; and how many lines it takes."""
        if self.delimiter == "|":
            return next(lines).split("|", len(self.columns) - 1), 1
        reader = csv.reader((f"{line}\n" for line in lines), delimiter=self.delimiter, strict=True)
        # The limit (131,072 characters) is global to the process: raise it for this row only.
        limit = csv.field_size_limit(1 << 30)
        try:
            return next(reader), reader.line_num
        except csv.Error:
            return [], 1
        finally:
            csv.field_size_limit(limit)

    def _damage(self, text: str, fields: list[str]) -> Damage | None:
        """The damage of a row, if any."""
        try:
            decode_line(text.encode(errors="surrogateescape"))
        except Damage as damage:
            return damage
        if len(fields) == len(self.columns):
            return None
        what = f"{_columns(len(fields))} instead of {len(self.columns)}"
        what = what if fields else "a quote too few or too many"
        others = [s for s in _DELIMITERS if text.count(s) == len(self.columns) - 1 and s in text]
        if len(fields) == 1 and others:
            what += f" (between them is {others[0]!r}, and in the header {self.delimiter!r})"
        elif self.delimiter == ",":
            what += " (a text with commas or quotes in it needs double quotes around it)"
        return Damage(what)


def _numbered(name: str, seen: Counter[str]) -> str:
    seen[name] += 1
    return name if seen[name] == 1 else f"{name} {seen[name]}"


def _columns(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"
