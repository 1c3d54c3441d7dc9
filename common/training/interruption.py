"""Ctrl-C that lets the step in hand end, so that everything can be saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none
SIGNALS = [each for each in (signal.SIGINT, signal.SIGTERM, HANG_UP) if each is not None]


class Interruption:
    """Within `listening()`, the first Ctrl-C sets `requested`, and so does SIGTERM, as a cluster sends
    it, or SIGHUP, as a terminal does that is closed. A signal that is ignored, as by nohup, stays so.

    A second one raises KeyboardInterrupt at once, and so does the first within `immediate()`:
    around work that may take long and can be begun anew, as a validation.
    """

    def __init__(self) -> None:
        self.requested = False
        self._raise = False
        self._process = os.getpid()

    @contextmanager
    def listening(self) -> Iterator[Interruption]:
        # Only the main thread may set signal handlers; elsewhere Ctrl-C stays what it was.
        is_main = threading.current_thread() is threading.main_thread()
        self.requested = False
        self._process = os.getpid()
        heard = [each for each in SIGNALS if is_main and signal.getsignal(each) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._note) for number in heard}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def immediate(self) -> Iterator[None]:
        self._raise = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._raise = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Closing a terminal sends SIGHUP twice, from the shell and from the kernel.
        again = self.requested and number != HANG_UP
        if again or self._raise:
            self.requested = True
            raise KeyboardInterrupt
        self.requested = True
        if os.getpid() == self._process:  # and not a worker that has just been forked
            try:
                # Not `print`: a handler may run in the middle of another one.
                os.write(2, b"\nstopping after this step (once more: at once)\n")
            except OSError:  # the terminal is gone; what is yet to be said must not stop the saving
                nowhere = os.open(os.devnull, os.O_WRONLY)
                for stream in (1, 2):
                    os.dup2(nowhere, stream)


def leave_to_parent(worker: int) -> None:
    """For a process that makes batches: Ctrl-C and a closed terminal reach it too, but its parent
    decides; and being terminated by the parent is not to be taken for a wish to save."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
