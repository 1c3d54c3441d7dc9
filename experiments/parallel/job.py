"""A job in a process of its own, which sends its progress and its result.

Importing this module imports no torch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from common.errors import UserError, describe_os_error, one_line

Report: TypeAlias = Callable[[float], None]  # takes the finished fraction of a job

_WARM_UP = 10  # steps before the timed ones: the first of them compile kernels
_TIMED = 30
_SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class Job:
    """Work for a process of its own.

    Args:
        name: used in error messages, and for the log file.
        function: called as function(report, *arguments) in a new process, so it must be a function
            of a module. It calls `report` after every step with the finished fraction of the job;
            `report` may block until a core is free. What it returns must be picklable.
        arguments: must be picklable.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class _Reporter:
    """Sends the progress of a job, and blocks after its first steps until it may continue."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.steps = 0
        self.seconds = 0.0  # estimate for the whole job
        self._start = (0.0, 0.0)  # time and fraction after the warm-up
        self._sent = 0.0

    def __call__(self, fraction: float) -> None:
        self.steps += 1
        now = time.perf_counter()
        if self.steps == _WARM_UP:
            self._start = now, fraction
        elif self.steps == _WARM_UP + _TIMED:
            self._estimate(now, fraction)
            self.pipe.send(("timed", self.seconds))
            self.pipe.recv()
            waited = time.perf_counter() - now
            self._start = self._start[0] + waited, self._start[1]
        elif self.steps > _WARM_UP + _TIMED and now - self._sent > _SECONDS_BETWEEN_REPORTS:
            self._sent = now
            self._estimate(now, fraction)
            self.pipe.send(("progress", (fraction, self.seconds)))

    def _estimate(self, now: float, fraction: float) -> None:
        started, before = self._start
        if fraction > before:
            self.seconds = (now - started) / (fraction - before)


def work(job: Job, pipe: Connection, logs: Path) -> None:
    """Do a job and send its result, or a one-line error."""
    _leave_with_parent()
    log = log_of(logs, job)
    with open(log, "w", buffering=1, encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        message: tuple[str, Any]
        try:
            message = "result", job.function(_Reporter(pipe), *job.arguments)
        except UserError as error:
            message = "failed", str(error)
        except OSError as error:
            message = "failed", describe_os_error(error)
        except BaseException as error:
            traceback.print_exc()
            message = "failed", f"{type(error).__name__}: {one_line(error)}; see {log}."
        file.flush()
        send(pipe, *message)


def log_of(logs: Path, job: Job) -> Path:
    return logs / f"{job.name.replace(' ', '-')}.log"


def send(pipe: Connection | None, kind: str, value: Any = None) -> None:
    """Send a message, unless the other end is closed."""
    if pipe is not None:
        with suppress(OSError):
            pipe.send((kind, value))


def _leave_with_parent() -> None:
    """Make this process the leader of a process group, which is killed when its parent ends."""
    if hasattr(os, "setsid"):
        os.setsid()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
