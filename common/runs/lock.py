"""One process at a time may write to a run folder what a training writes."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO

from common.errors import UserError
from common.files import open_regular

NAME = ".training.lock"


class Lock:
    """Held from its making to `release`, to its end as an object, or to that of the process.

    It is of the process: another `Lock` of the same folder there is no other one. Processes that it
    starts do not have it. Evaluations, which write files of their own, need none.

    Args:
        folder: exists.

    Raises:
        UserError: another process holds it, which is named; or its file is no regular one.
        OSError: the folder cannot be written to.
    """

    _file: IO[bytes] | None = None

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        while self._file is None:
            self._file = self._taken()

    def release(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # first: who takes it from here on makes a file of his own
                self.path.unlink()
            self._file.close()
            self._file = None

    __del__ = release

    def _taken(self) -> IO[bytes] | None:
        """The open file; None if the one that was taken is no longer the folder's."""
        file = open_regular(self.path, "a+b")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            with file:
                holder = " ".join(os.pread(file.fileno(), 200, 0).decode(errors="replace").split())
            who = holder if holder.isprintable() and holder else "another process"
            raise UserError(
                f"{self.path.parent} is being trained by {who}. Wait for it or stop it, or name "
                "another folder."
            ) from None
        except OSError:
            pass  # some network file systems have no locks; a single process still works there
        if not os.fstat(file.fileno()).st_nlink:  # who held it has just released it
            file.close()
            return None
        with suppress(OSError):  # a full disk
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return file
