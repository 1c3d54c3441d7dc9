"""Many trainings of one experiment, in a few processes: what was finished is kept, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from common.config.changes import may_change
from common.config.plain import with_absolute_paths
from common.files import read_json, write_json
from common.runs import Run
from common.training import RunOptions, session
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
        Of each training its metrics, and "milliseconds", the CPU time of an update; None where its
        process did none.

    Raises:
        UserError: a training failed, or its run was begun with other settings.
    """
    for each in trainings:  # of the first training that does not fit, before any is done
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
    for number, options in enumerate(trainings):
        clock: list[tuple[int, float]] = []  # after the first update of this process, and the last

        def on_progress(updates: int, most: int | None, done: int = number) -> None:
            clock[1:] = [(updates, time.process_time())]
            report((done + updates / (most or updates)) / len(trainings))

        metrics: Mapping[str, float] = session.train(
            options, make_task, kind, on_progress=on_progress
        ).metrics
        (first, began), (last, ended) = (clock[0], clock[-1]) if clock else ((0, 0.0), (0, 0.0))
        cost = 1000 * (ended - began) / (last - first) if last > first else None
        write_json(options.run_dir / FOUND, {**metrics, "milliseconds": cost})
