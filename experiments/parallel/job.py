"""A job, and what it does in a process of its own: it reports how far it has come, and what it gives.

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

Report: TypeAlias = Callable[[float], None]  # takes the fraction of a job that is done

_WARM_UP = 10  # steps before the clock starts: the first of them compile kernels
_TIMED = 30  # steps that are timed
_SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class Job:
    """Work for a process of its own.

    Args:
        name: stands in the line of an error, and names the log.
        function: called as function(report, *arguments) in a new process, so it is a function of a
            module. It calls `report` after every step with the fraction of the job that is done;
            `report` may wait there for a free core. It returns something that can be pickled.
        arguments: can be pickled.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class _Reporter:
    """Sends how far a job has come, and waits after its first steps until it may go on."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.steps = 0
        self.seconds = 0.0  # of the whole job, estimated
        self._clock = (0.0, 0.0)  # time and fraction when it started
        self._sent = 0.0

    def __call__(self, fraction: float) -> None:
        self.steps += 1
        now = time.perf_counter()
        if self.steps == _WARM_UP:
            self._clock = now, fraction
        elif self.steps == _WARM_UP + _TIMED:
            self._estimate(now, fraction)
            self.pipe.send(("timed", self.seconds))
            self.pipe.recv()
            waited = time.perf_counter() - now
            self._clock = self._clock[0] + waited, self._clock[1]
        elif self.steps > _WARM_UP + _TIMED and now - self._sent > _SECONDS_BETWEEN_REPORTS:
            self._sent = now
            self._estimate(now, fraction)
            self.pipe.send(("progress", (fraction, self.seconds)))

    def _estimate(self, now: float, fraction: float) -> None:
        started, before = self._clock
        if fraction > before:
            self.seconds = (now - started) / (fraction - before)


def work(job: Job, pipe: Connection, logs: Path) -> None:
    """Do a job and send what it returns, or one line that says what went wrong."""
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
    """Send a message; nothing where the other end is gone."""
    if pipe is not None:
        with suppress(OSError):
            pipe.send((kind, value))


def _leave_with_parent() -> None:
    """Make this process the head of a group of its own, and end the group with its parent."""
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
