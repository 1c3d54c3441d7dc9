"""A file that a training adds to: nothing of it is lost where somebody deletes it meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from common.files import open_regular

CHUNK = 1 << 20  # bytes


class AppendedFile:
    """A file that grows; what is added is with the operating system at once.

    A file that is deleted while it is written to is written again, with all that it held. One that is
    moved is added to where it is.

    Args:
        path: the file, which is made if it is missing.
        warn: called with one line when the file had been deleted.

    Raises:
        UserError: it is a link, or no regular file.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path, self._warn = path, warn
        self._file = open_regular(path, "a+b")

    @property
    def size(self) -> int:
        """In bytes."""
        return os.fstat(self._file.fileno()).st_size

    def write(self, data: bytes) -> None:
        """Add some bytes.

        Raises:
            OSError: they could not be written; the file is what it was.
        """
        if not os.fstat(self._file.fileno()).st_nlink:
            self._write_again()
        size = self.size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        except BaseException:  # a full disk, or Ctrl-C between two parts
            os.truncate(self._file.fileno(), size)
            raise

    def truncate(self, size: int) -> None:
        """Forget what is after so many bytes."""
        if self.size > size:
            os.truncate(self._file.fileno(), size)

    def flush(self) -> None:
        """Nothing: no byte is kept back."""

    def close(self) -> None:
        self._file.close()

    def _write_again(self) -> None:
        self._warn(f"{self.path} was deleted while it was being written: it is made again")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._file as lost:
            self._file = open_regular(self.path, "a+b")
            lost.seek(0)
            while part := lost.read(CHUNK):
                os.write(self._file.fileno(), part)


def truncate(path: Path, size: int) -> None:
    """Forget what a file holds after so many bytes; one that would be empty is deleted.

    Links are deleted, and not followed.
    """
    if not size or path.is_symlink():
        path.unlink(missing_ok=True)
    elif path.stat().st_size > size:
        os.truncate(path, size)
