"""Many trainings of one experiment in a few processes: those that are finished are not repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from PIL.Image import Image

from common.config.changes import may_change
from common.config.plain import with_absolute_paths
from common.files import atomic_write, read_json, write_json
from common.runs import Run
from common.training import RunOptions, Tracker, session
from experiments.parallel.job import Job, Report
from experiments.parallel.side_by_side import run_side_by_side

Options = TypeVar("Options", bound=RunOptions)
FOUND = "found.json"  # in the folder of a run that is finished


def train_all(
    trainings: Sequence[Options],
    make_task: session.MakeTask[Options],
    kind: str,
    folder: Path,
    processes: int = 1,
    announce: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Do all trainings that are not finished, each a session in a run folder of its own.

    A comparison that was stopped goes on when it is called again, each run where it stood.

    Args:
        trainings: the options of each; all have different run folders, and are resumed.
        make_task, kind: as `session.train` takes them; `make_task` is a function of a module.
        folder: for the output of each process.
        processes: trainings at once.
        announce: takes a line with the estimated time.

    Returns:
        Of each training its metrics and what its evaluation recorded, and "milliseconds": the CPU time
        of an update; None where the process that finished it did none.

    Raises:
        UserError: a training failed, or its run was begun with other settings.
    """
    for each in trainings:  # a run that does not fit is refused before any training is done
        settings = with_absolute_paths(each)
        Run.check(each.run_dir, kind, settings, resume=True, may_change=may_change(settings))
    left = [each for each in trainings if not (each.run_dir / FOUND).is_file()]
    jobs = [
        Job(f"process {number + 1}", train_some, (left[number::processes], make_task, kind))
        for number in range(min(processes, len(left)))
    ]
    if jobs:
        run_side_by_side(jobs, folder, at_once=processes, announce=announce)
    return [read_json(each.run_dir / FOUND) for each in trainings]


def train_some(
    report: Report, trainings: Sequence[Options], make_task: session.MakeTask[Options], kind: str
) -> None:
    """Do trainings one after the other, and write what is found to the folder of each."""
    for done, options in enumerate(trainings):
        so_far = partial(_report, report, done, len(trainings))
        train_one(so_far, options, make_task, kind)


def train_one(
    report: Report, options: Options, make_task: session.MakeTask[Options], kind: str
) -> None:
    """Do one of the trainings, and write what is found to its folder."""
    # Updates and CPU time, after the first update of this process and after the last.
    clock: list[tuple[int, float]] = []

    def on_progress(updates: int, most: int | None) -> None:
        clock[1:] = [(updates, time.process_time())]
        report(updates / (most or updates))

    found = session.train(options, make_task, kind, on_progress=on_progress)
    cost = None
    if len(clock) > 1:
        (first, began), (last, ended) = clock
        cost = 1000 * (ended - began) / (last - first)
    results = {**found.metrics, **found.recorded, "milliseconds": cost}
    write_json(options.run_dir / FOUND, results)


def _report(report: Report, done: int, trainings: int, fraction: float) -> None:
    report((done + fraction) / trainings)


def report_all(folder: Path, name: str, rows: Sequence[Sequence[str]], picture: Image) -> None:
    """Print a table of all trainings; save it with its figure, and show both in TensorBoard.

    Args:
        folder: for `name`.txt, `name`.png and the events; what an earlier call wrote is replaced.
        name: of the table and of the figure.
        rows: the texts of the cells; the first are the names of the columns.
        picture: the figure.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)
    table = "".join(lines)
    with atomic_write(folder / f"{name}.txt") as file:
        file.write(table)
    picture.save(folder / f"{name}.png")
    with Tracker(folder, progress=False) as tracker:
        tracker.rewind(0, {})  # forgets what an earlier call wrote
        tracker.table(name, rows[0], rows[1:])
        tracker.images(name, picture)
    print(table, end="")
