"""Reading the lines of text files, plain or gzip-compressed."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, cast

from common.data.damage import NOT_UTF_8, Damage
from common.errors import UserError
from common.files import open_regular

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_GZIP = b"\x1f\x8b"
_FIRST_LINES = 100  # by which a format is recognised
LONGEST_LINE = 1 << 20  # bytes, its end included: no sentence, nor the vector of a word, has more


def byte_lines(path: Path, stream: io.BufferedReader | None = None) -> Iterator[bytes]:
    r"""Iterate over the lines of a file, plain or compressed by gzip, with their line ends.

    A line ends at "\n" only: other line ends of `str.splitlines` (U+2028, U+0085, form feeds) occur
    inside sentences. A byte-order mark is dropped.

    Args:
        path: the file, or the name of the stream, for messages.
        stream: read, and closed, instead of the file; standard input or a pipe, for instance.

    Raises:
        UserError: as `open_regular`; the file is UTF-16, or a damaged or truncated gzip file, or a
            line has more than `LONGEST_LINE` bytes.
    """
    disk = cast(io.BufferedReader, stream or open_regular(path, links=True))
    with disk:
        # A pipe may have delivered one byte only. No text begins with the first byte of gzip files.
        start = disk.peek(2)[:2]
        if not start:  # at a terminal, reading on after the end would wait for another end
            return
        # Buffered: GzipFile iterates over lines ten times more slowly.
        packed = _GZIP.startswith(start)
        file: IO[bytes] = (
            io.BufferedReader(gzip.GzipFile(fileobj=disk), 1 << 18) if packed else disk
        )
        try:
            # Bounded: a gzip file of a megabyte may hold a line of a gigabyte.
            lines = iter(partial(file.readline, LONGEST_LINE + 1), b"")
            first = next(lines, b"")
            if first.startswith(_UTF_16):
                raise UserError(f"{path}: UTF-16, not UTF-8 text. Convert the file and try again.")
            first = first.removeprefix(_BYTE_ORDER_MARK)
            for number, line in enumerate(chain([first] if first else [], lines), 1):
                if len(line) > LONGEST_LINE:
                    raise UserError(
                        f"{path}:{number}: a line of more than {LONGEST_LINE:,} bytes. Is it a text?"
                    )
                yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(
                f"{path}: a damaged or incomplete gzip file ({error}). Fetch it again."
            ) from None


def lines_of(name: str, what: str) -> Iterator[bytes]:
    r"""The lines of what a command line names, as `byte_lines`: a file, or standard input, called -.

    A pipe that is named is read too, as the shell has it for <(...): each line is needed once.

    Args:
        name: of it.
        what: to do with it, for the message: "translate".

    Raises:
        UserError: there is no such file, or as `byte_lines`.
    """
    if name == "-" and sys.stdin is None:
        raise UserError(f"standard input is closed: name a file to {what}.")
    if name != "-" and not os.path.exists(name):
        raise UserError(
            f"{name}: there is no such file. Name a text file, or - for standard input."
        )
    stream = cast(io.BufferedReader, sys.stdin.buffer) if name == "-" else None
    if stream is None and not (os.path.isfile(name) or os.path.isdir(name)):
        stream = open(name, "rb")  # noqa: SIM115 (`byte_lines` closes it)
    return byte_lines(Path(name), stream)


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
        raise Damage(f"{NOT_UTF_8} (byte 0x{line[error.start]:02x})") from None


def numbered_lines(path: Path, errors: str = "strict") -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, numbered from 1.

    Args:
        path: the file.
        errors: handling of bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        UserError: as `byte_lines`; or it is not UTF-8, and errors is "strict".
    """
    for number, raw in enumerate(byte_lines(path), start=1):
        try:
            line = decode_line(raw, errors)
        except Damage as damage:
            raise UserError(
                f"{path}:{number}: {damage}. Convert the file to UTF-8 and try again."
            ) from None
        if line and not line.isspace():
            yield number, line


def check_readable(path: Path) -> list[str]:
    """The first hundred lines that are not blank; bytes that are not UTF-8 are replaced.

    Raises:
        UserError: as `byte_lines`.
    """
    return [line for _, line in islice(numbered_lines(path, errors="replace"), _FIRST_LINES)]


def first_lines(path: Path) -> list[str]:
    """`check_readable`, to recognise a format by: a file that cannot be read as text has no lines.

    A format is recognised by several lines, because the first may be damaged.
    """
    with suppress(UserError):
        return check_readable(path)
    return []


def is_unicode(text: str) -> bool:
    """False for text with a lone surrogate, which JSON can represent and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
