"""A run that begins with the weights of another run."""

from __future__ import annotations

import json

from common.config.plain import dotted, of_today, plain
from common.errors import UserError
from common.runs.run import Run
from common.runs.weights import read_weights
from common.training.initial_weights import OtherArchitecture, start_from
from common.training.options import RunOptions
from common.training.task import Task


def run_to_begin_from(options: RunOptions, kind: str) -> Run | None:
    """The run whose weights a new one begins with; None where it begins with new ones.

    Raises:
        UserError: there is no such run, or it has no weights.
    """
    if options.init_from is None:
        return None
    try:
        run = Run.open(options.init_from, kind)
    except UserError as error:
        raise UserError(f"--init-from: {error}") from None
    if not run.has_weights():
        raise UserError(
            f"--init-from: {run.path} has no weights yet. Train it first, or name another."
        )
    return run


def begin_from(run: Run, task: Task, options: RunOptions) -> str:
    """Put the best weights of another run into the new model of a task; say in one line which.

    Raises:
        UserError: they are of another architecture, or damaged.
    """
    weights = read_weights(run.path / "model.safetensors")
    tokens = {} if task.tokens is None else task.tokens(run)
    try:
        return start_from(task.model, weights, options.init_parts, tokens, str(run.path))
    except OtherArchitecture as error:
        begun = dict(dotted(of_today(type(options), run.format, run.config)))
        now = dict(dotted(plain(options)))
        differ = [
            f"--{name.rpartition('.')[2].replace('_', '-')} is {json.dumps(begun[name])} there and "
            f"{json.dumps(now[name])} here"
            for name in now
            if begun.get(name, now[name]) != now[name] and options.of_model(name)
        ]
        advice = "Take the options of that run, or parts of it that fit (--init-parts)."
        told = [str(error), *(f"{each}." for each in differ[:4]), advice]
        raise UserError(" ".join(told)) from None
