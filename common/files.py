"""Reading and writing files so that nothing that existed is damaged."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from common.errors import UserError, one_line

LONGEST_TEXT = 1 << 30  # bytes that are read at once; COCO's largest file has a tenth of them


def open_regular(path: str | os.PathLike[str], mode: str = "rb", *, links: bool = False) -> IO[Any]:
    """Open a regular file, and nothing else: a pipe would wait for ever, a device never end.

    What is read or written in a folder that somebody else may have made is opened by this.

    Args:
        path: the file.
        mode: as `open` takes it; text is UTF-8.
        links: follow a symbolic link. Only to read what the user names: a link in a folder of
            somebody else would have its target overwritten.

    Raises:
        UserError: it does not exist, is no regular file, or a link; or it cannot be read.
    """

    def opener(name: str, flags: int) -> int:
        follow = 0 if links else os.O_NOFOLLOW
        descriptor = os.open(name, flags | follow | os.O_NONBLOCK, 0o666)
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISREG(kind):
            return descriptor
        os.close(descriptor)
        raise IsADirectoryError if stat.S_ISDIR(kind) else OSError(errno.ENXIO, "")

    try:
        return open(path, mode, encoding=_encoding(mode), opener=opener)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a file.") from None
    except ValueError as error:  # a NUL, or a surrogate that stands for no byte
        raise UserError(f"{os.fspath(path)!r} can be no file's name ({one_line(error)}).") from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # also what the system says of a socket
            raise UserError(f"{path} is not a regular file.") from None
        if error.errno == errno.ELOOP and not links:
            raise UserError(f"{path} is a link. Put a copy of the file in its place.") from None
        if "r" in mode:
            raise UserError(f"{path} cannot be read ({error.strerror}).") from None
        raise


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path that begins with ~ as the shell expands it, and any other as it is.

    The shell does not in --data=~/flickr8k, and nobody does in code. What has that name itself is meant.
    """
    path = Path(path)
    return path if os.path.lexists(path) else Path(os.path.expanduser(path))


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder to write in, and those above it; one that is there is used.

    Raises:
        UserError: a link stands there: what is written would be elsewhere.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        raise UserError(f"{path} is a link to another folder. Put a folder in its place.")
    return path


def user_cache(name: str) -> Path:
    """The folder of a cache of this user: in $XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # As its specification has it, a relative path is passed over.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "unroll" / name


SEAL_SIZE = 9  # an odd number of bytes: no array of wider items, damaged in its shape, holds them


def checksum(data: bytes | memoryview, before: str = "") -> str:
    """The CRC-32 of bytes in eight digits; `before`, of those that come before them.

    It finds any single flipped bit and reads a gigabyte in a second; a cryptographic digest takes
    several, and guards no better: who can change a file can also seal it.
    """
    return f"{zlib.crc32(data, int(before or '0', 16)):08x}"


def seal(file: IO[bytes]) -> None:
    """Append a checksum to a file that is open to write and read.

    It is in the file itself, so that a process killed between two writes cannot part them. The formats
    that are sealed end where their own header says, and other readers pass over what follows.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    found = _read_checksum(file, size)
    file.seek(size)
    file.write(f"\n{found}".encode())


def is_sound(file: IO[bytes], size: int) -> bool:
    """Whether a file is as it was sealed; one that ends after `size` bytes never was, and is."""
    file.seek(size)
    if not (sealed := file.read(SEAL_SIZE + 1)):
        return True
    file.seek(0)
    return sealed == f"\n{_read_checksum(file, size)}".encode()


def _read_checksum(file: IO[bytes], size: int) -> str:
    """Of the first `size` bytes."""
    found = checksum(b"")
    for start in range(0, size, 1 << 20):
        found = checksum(file.read(min(size - start, 1 << 20)), found)
    return found


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` only once it is written completely.

    A process killed at any moment, or a full disk, leaves the old file as it was.

    Args:
        path: the file to write; its folder must exist.
        mode: "w" for UTF-8 text, "wb" for bytes; with "+", what is written can be read again. A lone
            surrogate, as in a name that is not UTF-8, is written as the escape that JSON has for it.

    Raises:
        OSError: the file could not be written; it is named.
    """
    path = Path(path)
    temporary = _beside(path)
    new, errors = mode.replace("w", "x"), None if "b" in mode else "backslashreplace"
    try:
        with open(temporary, new, encoding=_encoding(mode), errors=errors) as file:
            with suppress(OSError):  # some network file systems have no locks
                _lock(file.fileno())
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
    lock = os.open(temporary, os.O_RDONLY)
    try:
        with suppress(OSError):
            _lock(lock)
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _beside(path: Path) -> Path:
    """A new name for what is yet to become `path`; what killed processes left of such is removed.

    It is hidden, and in the same folder: only within one file system is a replacement atomic.
    """
    begun = re.compile(rf"\.{re.escape(path.name)}\.\d+-[0-9a-f]{{8}}")
    with suppress(OSError):
        for name in filter(begun.fullmatch, os.listdir(path.parent)):
            _remove_dead(path.with_name(name))
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def _remove_dead(temporary: Path) -> None:
    """Remove a temporary file or folder unless a living process locks it."""
    with suppress(OSError):
        # Just begun, it may not be locked yet.
        if time.time() - temporary.lstat().st_mtime < 60:
            return
        lock = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            _lock(lock)
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()
        finally:
            os.close(lock)


def _lock(descriptor: int) -> None:
    """Lock a file or folder until it is closed; the lock ends with the process that holds it.

    Not by the process's number, which in another container means another process.

    Raises:
        OSError: another process holds the lock, or the file system has none.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _encoding(mode: str) -> str | None:
    return None if "b" in mode else "utf-8"


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file atomically, indented, with every script readable as it is."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def read_text(path: str | os.PathLike[str], *, links: bool = True) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Args:
        path: the file.
        links: as `open_regular` takes it.

    Raises:
        UserError: as `open_regular`; the file is not UTF-8 (the line is named), or has more than
            `LONGEST_TEXT` bytes.
    """
    with open_regular(path, links=links) as file:
        if os.fstat(file.fileno()).st_size > LONGEST_TEXT:
            raise UserError(
                f"{path} has more than {LONGEST_TEXT >> 20:,} MB: too much for one text."
            )
        data = file.read()
    return decode_text(data, path)


def decode_text(data: bytes, path: str | os.PathLike[str]) -> str:
    """The text that is UTF-8 in bytes, with or without a byte-order mark.

    Args:
        data: the bytes.
        path: the file that they are of, for the message.

    Raises:
        UserError: it is not UTF-8 (the line is named).
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}). "
            "Convert the file to UTF-8 and try again."
        ) from None


def read_json(path: str | os.PathLike[str], *, links: bool = True) -> Any:
    """The value of a JSON file; its arguments and errors are those of `read_text`.

    Raises:
        UserError: it is not JSON (the line is named).
    """
    try:
        return json.loads(read_text(path, links=links))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error.msg}).") from None
    except (RecursionError, ValueError):  # Python's own limits, which no file of ours comes near
        raise UserError(
            f"{path}: not usable JSON (nested too deeply, or a number too long)."
        ) from None


def short_digest(value: Any) -> str:
    """Sixteen characters that identify a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
