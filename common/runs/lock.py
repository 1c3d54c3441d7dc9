"""One process at a time may write to a run folder what a training writes."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from common.errors import UserError

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

    _file = -1

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        while self._file < 0:
            self._file = self._taken()

    def release(self) -> None:
        if self._file >= 0:
            with suppress(OSError):  # first: who takes it from here on makes a file of his own
                self.path.unlink()
            os.close(self._file)
            self._file = -1

    __del__ = release

    def _taken(self) -> int:
        """The open file; -1 if the one that was taken is no longer the folder's."""
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise UserError(f"{self.path} is no regular file: remove it.")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(self.path, flags, 0o666)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = " ".join(os.pread(file, 200, 0).decode(errors="replace").split())
            os.close(file)
            who = holder if holder.isprintable() and holder else "another process"
            raise UserError(
                f"{self.path.parent} is being trained by {who}. Wait for it or stop it, or name "
                "another folder."
            ) from None
        except OSError:
            pass  # some network file systems have no locks; a single process still works there
        if not os.fstat(file).st_nlink:  # who held it has just released it
            os.close(file)
            return -1
        with suppress(OSError):  # a full disk
            os.truncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return file
