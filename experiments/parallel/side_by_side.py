"""Jobs in processes of their own, in parallel on the available cores.

One progress bar shows all of them; the total time is estimated from the first steps of each. The first
error ends all jobs with one line, and they end with this process. Importing this module imports no
torch.
"""

from __future__ import annotations

import heapq
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.progress import Bar, in_words, is_quiet
from experiments.parallel.job import Job, log_of, send, work

_SHAPE = "{desc} {percentage:3.0f}% |{bar}| {elapsed}{postfix}"


@dataclass
class _Running:
    """A job and its process.

    Attributes:
        state: "new"; "first steps"; "paused" after them; "running"; "done".
        seconds: estimate for the whole job; None before its first steps are timed.
        fraction: finished fraction of the job.
    """

    job: Job
    state: str = "new"
    process: SpawnProcess | None = None
    pipe: Connection | None = None
    seconds: float | None = None
    fraction: float = 0.0
    result: Any = None

    @property
    def active(self) -> bool:
        return self.state in ("first steps", "running")

    @property
    def left(self) -> float:
        """Remaining seconds."""
        return (self.seconds or 0.0) * (1 - self.fraction)


def free_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def time_left(jobs: Sequence[float], at_once: int) -> float:
    """Seconds until all jobs are done.

    Args:
        jobs: remaining seconds of each.
        at_once: jobs that run at the same time; the longest begin first.
    """
    cores = [0.0] * max(1, at_once)
    for seconds in sorted(jobs, reverse=True):
        heapq.heappush(cores, heapq.heappop(cores) + seconds)
    return max(cores)


def run_side_by_side(
    jobs: Sequence[Job],
    logs: Path,
    *,
    at_once: int | None = None,
    announce: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run all jobs with one progress bar on standard error, or, where that is no terminal, a line
    every half a minute.

    The first steps of all jobs are done first, so that the total time is known, and announced, early.

    Args:
        jobs: at least one, with different names.
        logs: folder for the output of each job, in `<name>.log`.
        at_once: jobs that run at the same time; the number of cores by default.
        announce: takes the line with the estimated time; not called where it is to be quiet.

    Returns:
        The result of each job, by its name.

    Raises:
        UserError: a job failed; the others were ended.
    """
    logs.mkdir(parents=True, exist_ok=True)
    together = _Together([_Running(job) for job in jobs], logs, at_once or free_cores(), announce)
    try:
        together.run()
    finally:
        together.end()
    return {running.job.name: running.result for running in together.all}


@dataclass
class _Together:
    all: Sequence[_Running]
    logs: Path
    at_once: int
    announce: Callable[[str], None]
    announced: bool = False
    bar: Bar = field(init=False)

    def __post_init__(self) -> None:
        self.bar = Bar("first steps", 1.0, shape=_SHAPE, line=self._line)

    def run(self) -> None:
        while any(running.state != "done" for running in self.all):
            self._fill_cores()
            pipes = {running.pipe: running for running in self.all if running.active}
            for pipe in wait([pipe for pipe in pipes if pipe is not None], timeout=0.5):
                self._receive(pipes[pipe])  # type: ignore[index]
            self._show()

    def _fill_cores(self) -> None:
        """Start new jobs, then continue paused ones, the longest first."""
        while sum(running.active for running in self.all) < self.at_once:
            new = [running for running in self.all if running.state == "new"]
            paused = [running for running in self.all if running.state == "paused"]
            if new:
                self._start(new[0])
            elif paused:
                longest = max(paused, key=lambda running: running.left)
                longest.state = "running"
                send(longest.pipe, "go")
            else:
                return

    def _start(self, running: _Running) -> None:
        # Otherwise Python warns of the semaphores of a killed process.
        os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
        context = multiprocessing.get_context("spawn")
        running.pipe, theirs = context.Pipe()
        running.process = context.Process(
            target=work, args=(running.job, theirs, self.logs), name=running.job.name
        )
        with _ctrl_c_blocked():
            running.process.start()
        theirs.close()
        running.state = "first steps"

    def _receive(self, running: _Running) -> None:
        assert running.pipe is not None and running.process is not None
        try:
            kind, value = running.pipe.recv()
        except (EOFError, ConnectionError):
            running.process.join(5)
            code = running.process.exitcode
            raise UserError(
                f"{running.job.name}: its process ended before its work, with exit code {code}"
                f"{' (out of memory?)' if code == -signal.SIGKILL else ''}; "
                f"see {log_of(self.logs, running.job)}."
            ) from None
        if kind == "failed":
            raise UserError(f"{running.job.name}: {value}")
        if kind == "timed":
            running.seconds, running.state = value, "paused"
        elif kind == "progress":
            running.fraction, running.seconds = value
        else:
            running.result, running.fraction, running.state = value, 1.0, "done"

    def _show(self) -> None:
        """Update the bar, or print a line now and then."""
        if any(running.seconds is None and running.state != "done" for running in self.all):
            if self.bar.due():
                self.bar.show()
            return
        if not self.announced:
            self.announced = True
            self.bar.hide()
            left = in_words(self._left())
            if not is_quiet():
                self.announce(f"this will take {left} here, judged from the first steps")
        if self.bar.due():
            self.bar.show(self._done(), what="training", note=f"{in_words(self._left())} left")

    def _left(self) -> float:
        """Remaining seconds of all together."""
        return time_left([running.left for running in self.all], self.at_once)

    def _done(self) -> float:
        """The finished fraction of all together."""
        work = sum(running.seconds or 0.0 for running in self.all)
        return 1 - sum(running.left for running in self.all) / work if work else 1.0

    def _line(self) -> str:
        if not self.announced:
            return "the first steps of each, from which the time is estimated"
        return f"{self._done():.0%} done, {in_words(self._left())} left"

    def end(self) -> None:
        """End all remaining processes and their children."""
        self.bar.close()
        for running in self.all:
            if running.process is not None:
                if running.process.is_alive() and running.state != "done":
                    _kill(running.process)
                running.process.join()
            if running.pipe is not None:
                running.pipe.close()


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """A process that is started inside never receives Ctrl-C; this one receives it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(process: SpawnProcess) -> None:
    """End a process and its children."""
    if hasattr(os, "killpg") and process.pid is not None:
        with suppress(ProcessLookupError):  # it is not the leader of its group yet
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
