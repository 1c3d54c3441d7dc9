"""The command line of an experiment: `train` and `evaluate`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from common.cli.command_line import parse, print_metrics
from common.config.marks import POSITIONAL, Metavar
from common.config.quiet import Quiet
from common.errors import run_command
from common.progress import quietly
from common.training import session
from common.training.options import RunOptions

if TYPE_CHECKING:
    from common.runs import Run


@dataclass(frozen=True, kw_only=True)
class TrainedRun(Quiet):
    """What is done with a trained run names it, and a device."""

    run: Annotated[Path, POSITIONAL]
    """A folder that `train` wrote."""
    device: Annotated[str, Metavar("DEVICE")] = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TrainedRun):
    """Evaluate a trained run on a split of its data, and write the result to its folder."""

    split: str = "val"
    """Which part of the data: val, test, or any other split."""
    data: Annotated[str | None, Metavar("DIR")] = None
    """The data, if they are no longer where the run was trained on them."""


def experiment(
    options: type[RunOptions],
    make_task: session.MakeTask,
    **others: tuple[type[TrainedRun], Callable[[Any, Any, Run], None]],
) -> None:
    """Run the command that the arguments name, and print the metrics of its evaluation.

    The help begins with the first line of the module that `make_task` is defined in, and its name is
    the kind of the runs.

    Args:
        options: of a training.
        make_task: from the options to the task; see `session.MakeTask`.
        others: more commands by name, each with its options, a `TrainedRun`, and what it does: called
            with them, the run's model, and the run.
    """
    name = Path(inspect.getfile(make_task)).stem
    prog = f"python -m experiments.{name}"
    text = sys.modules[make_task.__module__].__doc__ or ""

    def main() -> None:
        chosen = parse(
            {"train": options, "evaluate": EvaluateOptions}
            | {command: of for command, (of, _) in others.items()},
            name,
            prog=prog,
            description=text.partition("\n")[0],
        )
        with quietly(chosen.quiet):
            do(chosen)

    def do(chosen: Any) -> None:
        if isinstance(chosen, EvaluateOptions):
            session.evaluate(
                chosen.run, options, make_task, name, chosen.split,
                data=chosen.data, device=chosen.device, on_evaluated=print_metrics,
            )  # fmt: skip
        elif sys.argv[1] in others:
            trained = session.trained(chosen.run, options, make_task, name, device=chosen.device)
            others[sys.argv[1]][1](chosen, *trained)
        else:
            session.train(
                chosen, make_task, name, on_evaluated=print_metrics, then=f"{prog} evaluate RUN"
            )

    run_command(main)
