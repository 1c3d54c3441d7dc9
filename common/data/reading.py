"""Reading lines, JSON lines and tables of text files, plain or gzip-compressed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from common.data.damage import Damage
from common.errors import UserError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_GZIP = b"\x1f\x8b"
_FIRST_LINES = 100  # by which a format is recognised
_LINES_OF_A_ROW = 20  # a quote that is not closed by then is damage


class LineFile:
    """The lines of a file, plain or compressed by gzip, as bytes with their line ends.

    A line ends at "\\n" only: other line ends of `str.splitlines` (U+2028, U+0085, form feeds) occur
    inside sentences. A byte-order mark is dropped.

        with LineFile("train.de.gz") as lines:
            for line in lines: ...

    Args:
        path: the file, or the name of the stream, for messages.
        stream: read instead of the file; standard input, for instance.

    Raises:
        UserError: the file is missing, or a folder; while iterating: it is UTF-16, or a damaged or
            truncated gzip file.
    """

    def __init__(self, path: Path, stream: io.BufferedReader | None = None) -> None:
        self.path = path
        try:
            self._disk = stream or open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist.") from None
        except IsADirectoryError:
            raise UserError(f"{path} is a folder, not a file.") from None
        start = self._disk.read(1)
        if start == _GZIP[:1]:  # only then: at a terminal, reading a second byte may block
            start += self._disk.read(1)
        self._file = _put_back(start, self._disk)
        if start == _GZIP:
            # Buffered: GzipFile iterates over lines ten times more slowly.
            self._file = io.BufferedReader(gzip.GzipFile(fileobj=self._file), 1 << 18)

    def __iter__(self) -> Iterator[bytes]:
        try:
            first = self._file.readline()
            if first.startswith(_UTF_16):
                raise UserError(
                    f"{self.path}: UTF-16, not UTF-8 text. Convert the file and try again."
                )
            if first := first.removeprefix(_BYTE_ORDER_MARK):
                yield first
            yield from self._file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(
                f"{self.path}: a damaged or incomplete gzip file ({error}). Fetch it again."
            ) from None

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._disk.close()


class _Rejoined(io.RawIOBase):
    """Bytes already read from a pipe, followed by the rest of it."""

    def __init__(self, start: bytes, rest: io.BufferedReader) -> None:
        self._start = start
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # `read1` does not block while there are bytes.
        data = self._start[: len(buffer)] or self._rest.read1(len(buffer))
        self._start = self._start[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _put_back(start: bytes, file: io.BufferedReader) -> IO[bytes]:
    """The file with the bytes read from its start put back. At its end it is not read again."""
    if not start:
        return io.BytesIO()
    if file.seekable():
        file.seek(-len(start), io.SEEK_CUR)
        return file
    return io.BufferedReader(_Rejoined(start, file))


def decode_line(line: bytes, errors: str = "strict") -> str:
    """The text of a line without its end.

    Args:
        line: the bytes.
        errors: handling of bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        Damage: it is not UTF-8, and errors is "strict".
    """
    try:
        return line.rstrip(b"\r\n").decode(errors=errors)
    except UnicodeDecodeError as error:
        raise Damage(f"not UTF-8 text (byte 0x{line[error.start]:02x})") from None


def numbered_lines(path: Path, errors: str = "strict") -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, numbered from 1.

    Args:
        path: the file.
        errors: handling of bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        UserError: the file is missing; or it is not UTF-8, and errors is "strict".
    """
    with LineFile(path) as lines:
        for number, raw in enumerate(lines, start=1):
            try:
                line = decode_line(raw, errors)
            except Damage as damage:
                raise UserError(
                    f"{path}:{number}: {damage}. Convert the file to UTF-8 and try again."
                ) from None
            if line and not line.isspace():
                yield number, line


def first_lines(path: Path) -> Iterator[str]:
    """The first hundred lines that are not blank, to recognise the format of a file.

    Several, because the first may be damaged. Bytes that are not UTF-8 are replaced; a file that
    cannot be read as text has no lines.
    """
    with suppress(UserError):
        for _, line in islice(numbered_lines(path, errors="replace"), _FIRST_LINES):
            yield line


def check_readable(path: Path) -> None:
    """Raise the error that `first_lines` suppresses.

    Raises:
        UserError: it is UTF-16, or a damaged `.gz`.
    """
    for _ in islice(numbered_lines(path, errors="replace"), _FIRST_LINES):
        pass


def first_line(path: Path) -> str:
    """The first of `first_lines`; empty if there is none."""
    return next(first_lines(path), "")


def header_line(path: Path) -> tuple[int, str]:
    """The number and the text of the first line that is not blank; (1, "") if all are blank.

    Raises:
        UserError: the file is missing, or the line is not UTF-8.
    """
    return next(numbered_lines(path), (1, ""))


def json_object(line: str) -> dict[str, Any]:
    """The object that a line of JSON holds.

    Raises:
        Damage: it is no JSON object.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise Damage(f"not JSON ({getattr(error, 'msg', error)})") from None
    except RecursionError:
        raise Damage("not usable JSON (nested too deeply)") from None
    if not isinstance(record, dict):
        raise Damage("not an object")
    return record


def is_unicode(text: str) -> bool:
    """False for text with a lone surrogate, which JSON can represent and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def table_rows(path: Path, delimiter: str, width: int) -> Iterator[tuple[int, list[str] | Damage]]:
    """The rows of a table below its header: their fields, or their damage.

    Rows are parsed one at a time, so that an unclosed quote damages one row only.

    Args:
        path: the file, plain or `.gz`.
        delimiter: between the fields. With "|", quotes have no meaning, and the last field may
            contain the delimiter (as in the captions of Flickr30k).
        width: number of fields of a row.

    Yields:
        The number of the first line of each row, and the row.
    """
    # Bytes that are not UTF-8 are kept until it is known which row they belong to.
    lines = numbered_lines(path, errors="surrogateescape")
    next(lines, None)  # the header
    ahead: deque[tuple[int, str]] = deque()
    while True:
        if not ahead:
            ahead.extend(islice(lines, 1))
            if not ahead:
                return
        number, text = ahead[0]
        row: list[str] = text.split("|", width - 1) if delimiter == "|" else []
        used = 1
        while not row and used <= _LINES_OF_A_ROW:
            try:
                row = _csv_fields(text, delimiter)
            except csv.Error as error:
                if "unexpected end" not in str(error):
                    break
                if len(ahead) == used:
                    ahead.extend(islice(lines, 1))
                if len(ahead) == used or used == _LINES_OF_A_ROW:
                    break
                text = f"{text}\n{ahead[used][1]}"
                used += 1
        taken = [ahead.popleft()[1] for _ in range(used if row else 1)]
        yield number, _row_damage("\n".join(taken), row, width, delimiter) or row


def _csv_fields(text: str, delimiter: str) -> list[str]:
    """The fields of a row, of any length.

    Raises:
        csv.Error: its quotes are damaged, or it ends within quotes.
    """
    # The limit (131,072 characters) is global to the process: raise it for this row only.
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(text)))
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    finally:
        csv.field_size_limit(limit)


def _row_damage(text: str, row: list[str], width: int, delimiter: str) -> Damage | None:
    """The damage of a row, if any.

    Args:
        text: of the row.
        row: its fields; empty if its quotes are damaged.
        width, delimiter: as for `table_rows`.
    """
    try:
        decode_line(text.encode(errors="surrogateescape"))
    except Damage as damage:
        return damage
    if len(row) == width:
        return None
    columns = "1 column" if len(row) == 1 else f"{len(row)} columns"
    what = f"{columns} instead of {width}" if row else "a quote too few or too many"
    if delimiter == ",":
        what += " (a text with commas or quotes in it needs double quotes around it)"
    return Damage(what)
