"""Reading and writing files so that nothing that existed is damaged."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from common.errors import UserError, one_line

LONGEST_TEXT = 1 << 30  # bytes that are read at once; COCO's largest file has a tenth of them


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` only once it is written completely.

    A process killed at any moment, or a full disk, leaves the old file as it was.

    Args:
        path: the file to write; its folder must exist.
        mode: "w" for UTF-8 text, "wb" for bytes. A lone surrogate, as in a name that is not UTF-8,
            is written as the escape that JSON has for it.

    Raises:
        OSError: the file could not be written; it is named.
    """
    path = Path(path)
    temporary = _beside(path)
    text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}
    try:
        with open(temporary, mode.replace("w", "x"), **({} if "b" in mode else text)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        # An error names the file that was meant, not the temporary one, or none at all.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which appears as `path` only once all of it is written.

    Folders above it are made. A failure removes what was written.

    Args:
        path: does not exist, or is an empty folder.

    Raises:
        OSError: the folder could not be written, or there is something in it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _beside(path: Path) -> Path:
    # Hidden, and in the same folder: only within one file system is a replacement atomic.
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file atomically, indented, with every script readable as it is."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file that somebody named, to read its bytes; it never waits, as for a pipe's writer.

    Raises:
        UserError: it is missing, a folder, a pipe or a device, or cannot be opened.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a file.") from None
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or one_line(error)
        raise UserError(f"{path} cannot be opened ({reason}).") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(f"{path} is a pipe or a device, not a file.")
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        UserError: as `open_regular`; the file is not UTF-8 (the line is named), or has more than
            `LONGEST_TEXT` bytes.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > LONGEST_TEXT:
            raise UserError(f"{path} has more than {LONGEST_TEXT >> 20:,} MB: too much for one text.")
        data = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}). "
            "Convert the file to UTF-8 and try again."
        ) from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: the file is missing, not UTF-8, or not JSON (the line is named).
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error.msg}).") from None
    except (RecursionError, ValueError):  # Python's own limits, which no file of ours comes near
        raise UserError(
            f"{path}: not usable JSON (nested too deeply, or a number too long)."
        ) from None


def short_digest(value: Any) -> str:
    """Sixteen characters that identify a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
