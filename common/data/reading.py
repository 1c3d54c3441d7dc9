"""Reading the lines of text files, plain or gzip-compressed."""

from __future__ import annotations

import codecs
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
from typing import cast

from common.data.damage import NOT_UTF_8, Damage
from common.data.encodings import (
    UNDECODED,
    fitting,
    named_encoding,
    recoded,
    shown_encoding,
    text_encoding,
)
from common.errors import UserError
from common.files import LONGEST_TEXT, open_regular

_GZIP = b"\x1f\x8b"
_FIRST_LINES = 100  # by which a format is recognised
LONGEST_LINE = 1 << 20  # bytes, its end included: no sentence, nor the vector of a word, has more


def byte_lines(
    path: Path, stream: io.BufferedReader | None = None, *, longest: int = LONGEST_LINE
) -> Iterator[bytes]:
    r"""Iterate over the lines of a file as UTF-8, plain or compressed by gzip, with their line ends.

    A line ends at "\n" only: other line ends of `str.splitlines` (U+2028, U+0085, form feeds) occur
    inside sentences. A byte-order mark is dropped. The encoding is that of `text_encoding`, or else
    the one that the file shows; what cannot be decoded `decode_line` refuses.

    Args:
        path: the file, or the name of the stream, for messages.
        stream: read, and closed, instead of the file; standard input or a pipe, for instance.
        longest: the most bytes of a line.

    Raises:
        UserError: as `open_regular`; the file is a damaged or truncated gzip file, or a line has more
            than `longest` bytes.
    """
    return _byte_lines(path, stream, longest, named_encoding())


def _byte_lines(
    path: Path, stream: io.BufferedReader | None, longest: int, encoding: str | None
) -> Iterator[bytes]:
    disk = cast(io.BufferedReader, stream or open_regular(path, links=True))
    with disk:
        # A pipe may have delivered one byte only. No text begins with the first byte of gzip files.
        start = disk.peek(2)[:2]
        if not start:  # at a terminal, reading on after the end would wait for another end
            return
        # Buffered: GzipFile iterates over lines ten times more slowly.
        file = disk
        if _GZIP.startswith(start):
            file = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=disk)), 1 << 18)
        try:
            # Bounded: a gzip file of a megabyte may hold a line of a gigabyte.
            lines = iter(partial(file.readline, longest + 1), b"")
            for number, line in enumerate(_as_utf8(lines, encoding), 1):
                if len(line) > longest:
                    raise UserError(
                        f"{path}:{number}: a line of more than {longest:,} bytes. Is it a text?"
                    )
                yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(
                f"{path}: a damaged or incomplete gzip file ({error}). Fetch it again."
            ) from None


def lines_of(name: str, what: str, *, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    r"""The lines of what a command line names, as `byte_lines`: a file, or standard input, called -.

    A pipe that is named is read too, as the shell has it for <(...): each line is needed once.

    Args:
        name: of it.
        what: to do with it, for the message: "translate".
        longest: the most bytes of a line.

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
    return byte_lines(Path(name), stream, longest=longest)


def text_lines(name: str, what: str, *, longest: int = LONGEST_LINE) -> list[str]:
    """The lines of what a command line names, without their ends; the arguments are those of `lines_of`.

    Raises:
        UserError: as `lines_of`; they are more than a gigabyte; or one is not text in the
            encoding that it is read in, with advice which would fit.
    """
    lines, size = [], 0
    for number, line in enumerate(lines_of(name, what, longest=longest), 1):
        size += len(line)
        if size > LONGEST_TEXT:
            raise UserError(
                f"{name} has more than {LONGEST_TEXT >> 20:,} MB: too much for one text."
            )
        try:
            lines.append(decode_line(line))
        except Damage as damage:
            is_file = os.path.isfile(name)
            advice = encoding_advice(Path(name)) if is_file else "Convert the text to UTF-8."
            raise UserError(f"{name}:{number}: {damage}. {advice}") from None
    return lines


def _as_utf8(lines: Iterator[bytes], encoding: str | None) -> Iterator[bytes]:
    """Lines of a file in the encoding that is named, or else in the one that it shows."""
    if not encoding:
        first = next(lines, b"")
        # The first line of UTF-16 is short of the second byte of its end.
        more = next(lines, b"") if b"\0" in first or not _is_utf8(first) else b""
        encoding, mark = shown_encoding(first + more)
        lines = chain([each for each in (first[mark:], more) if each], lines)
    if encoding == "utf-8":
        return lines
    return _without_mark(recoded(lines, encoding))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_mark(lines: Iterator[bytes]) -> Iterator[bytes]:
    yield from filter(None, [next(lines, b"").removeprefix(codecs.BOM_UTF8)])
    yield from lines


def decode_line(line: bytes, errors: str = "strict") -> str:
    """The text of a line without its end.

    Args:
        line: the bytes.
        errors: handling of bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        Damage: it is not UTF-8, or not what `text_encoding` named, and errors is "strict".
    """
    line = line.rstrip(b"\r\n")
    if line.endswith(UNDECODED):
        if errors == "strict":
            raise Damage("not text in the encoding that is named")
        if errors == "replace":
            line = line.removesuffix(UNDECODED)
    try:
        return line.decode(errors=errors)
    except UnicodeDecodeError as error:
        raise Damage(f"{NOT_UTF_8} (byte 0x{line[error.start]:02x})") from None


def read_content(path: Path) -> str:
    """The whole text of a file, of at most a gigabyte, as `byte_lines` reads it.

    Raises:
        UserError: as `byte_lines`; or it is not UTF-8, nor what `text_encoding` named.
    """
    lines = list(byte_lines(path, longest=1 << 30))
    try:
        return b"".join(lines).decode()
    except UnicodeDecodeError:
        check_encoded(path)
        raise UserError(f"{path}: not UTF-8 text. {encoding_advice(path)}") from None


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
            raise UserError(f"{path}:{number}: {damage}. {encoding_advice(path)}") from None
        if line and not line.isspace():
            yield number, line


def encoding_advice(path: Path) -> str:
    """What to do about a file that is not in the encoding that it is read in."""
    return _advice(_fitting(path))


def _fitting(path: Path) -> list[str]:
    """The usual encodings in which all of a file can be read."""
    with text_encoding("latin-1"):  # which has all bytes
        return fitting(decode_line(line).encode("latin-1") + b"\n" for line in byte_lines(path))


def _advice(names: list[str]) -> str:
    if named_encoding() is None:  # it cannot be named where the file is read
        known = f" from {' or '.join(names)}" if names else ""
        return f"Convert the file{known} to UTF-8 and try again."
    if not names:
        return "Convert the file to UTF-8, or name its encoding by --encoding (encoding= in code)."
    others = f" (or {' or '.join(names[1:])})" if names[1:] else ""
    return (
        f"All of it can be read as {' or '.join(names)}: add --encoding {names[0]}{others}; "
        f'encoding="{names[0]}" in code.'
    )


def check_encoded(path: Path) -> None:
    """Refuse a file that is as a whole in another encoding than it is read in.

    Raises:
        UserError: it names the first line that cannot be read, and the encodings that would fit.
    """
    first = next(_undecodable(path), None)
    if first is not None and (names := _fitting(path)):
        raise UserError(f"{path}:{first[0]}: {first[1]}. {_advice(names)}")


def _undecodable(path: Path) -> Iterator[tuple[int, Damage]]:
    for number, line in enumerate(byte_lines(path), 1):
        try:
            decode_line(line)
        except Damage as damage:
            yield number, damage


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
