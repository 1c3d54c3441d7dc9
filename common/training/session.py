"""From the task of an experiment to a run: trained, resumed or evaluated."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, TypeVar

import torch
from torch import nn

from common.compute.device import DeviceLike, choose_device
from common.compute.precision import without_gradients
from common.config.bounds import check_bounds
from common.config.changes import hyperparameters, may_change
from common.config.plain import restored, with_absolute_paths
from common.errors import UserError, printable
from common.files import atomic_write, expanded, write_json
from common.progress import quietly, say
from common.runs.kept import Kept
from common.runs.run import Run
from common.runs.weights import load_last_weights
from common.training.beginning import begin_from, run_to_begin_from
from common.training.epochs import batches_of
from common.training.options import RunOptions
from common.training.task import Evaluation, Task
from common.training.tracking import Tracker
from common.training.trainer import OnProgress

Options = TypeVar("Options", bound=RunOptions)
MakeTask: TypeAlias = Callable[[Options, Kept, torch.device], Task]
"""Makes the task of some options; called after seeding, and before the run folder is made, so that it
can refuse options and data. What the run must keep comes from `Kept`, which builds it for a new run and
reads it for one that is resumed or evaluated. The session loads weights."""
OnEvaluated: TypeAlias = Callable[[Evaluation], object]


class Watched(TypedDict, total=False):
    """Arguments of `train` for who watches it."""

    on_progress: OnProgress
    on_evaluated: OnEvaluated


def do_nothing(evaluation: Evaluation) -> None:
    pass


def train(
    options: Options,
    make_task: MakeTask[Options],
    kind: str,
    *,
    on_progress: OnProgress | None = None,
    on_evaluated: OnEvaluated = do_nothing,
    then: str = "",
) -> Evaluation:
    """Train in a run folder, or go on with the training that is there, and evaluate its best weights.

    Args:
        options: of the run.
        make_task: the experiment.
        kind: what a run of it is called in its config.json.
        on_progress: as `Trainer` takes it.
        on_evaluated: called with the evaluation before it is written, which may fail.
        then: a command for the trained run, which is printed in the end; RUN stands for its folder.

    Returns:
        The evaluation of the split "val", which is also written to the run folder.

    Raises:
        UserError: the options, the data or the folder cannot be used.
    """
    with quietly(options.quiet):
        evaluation = _train(options, make_task, kind, on_progress, on_evaluated)
        folder = shlex.quote(printable(str(options.run_dir)))
        say(f"run folder: {folder}")
        if then:
            say(f"next: {then.replace('RUN', folder)}")
    return evaluation


def _train(
    options: Options,
    make_task: MakeTask[Options],
    kind: str,
    on_progress: OnProgress | None,
    on_evaluated: OnEvaluated,
) -> Evaluation:
    check_bounds(options)
    options.check()
    options = with_absolute_paths(options)
    how: dict[str, Any] = {"resume": options.resume, "overwrite": options.overwrite}
    how["may_change"] = may_change(options)
    begun = Run.check(options.run_dir, kind, options, **how)
    if begun is not None and not begun.has_training_state():
        begun = None  # it was stopped before it had learnt anything
    before = None
    if begun is not None:
        before = begun.read_config(type(options)).training
        Subject.of_run(begun.path, "val", options)  # its data may have been moved
    origin = run_to_begin_from(options, kind) if begun is None else None
    device = options.training.begin()
    kept = Kept(begun)
    task = make_task(options, kept, device)
    if begun is not None:  # what is computed from frozen weights may be needed before training is
        load_last_weights(begun.path / "training.pt", task.model)
    if origin is not None:
        say(printable(begin_from(origin, task, options)))
    options = task.options or options
    training = options.training.settle_precision(task.model, before)
    options = replace(options, training=training)
    kept.precision = training.precision
    batches_of(task.batches)  # data that cannot be used are refused before the folder is changed
    run = Run.create(options.run_dir, kind, options, keep=kept.writers, **how)

    with Tracker(run.path, charts=task.charts) as tracker:
        of_the_command = ("run_dir", "resume", "overwrite", "quiet")
        shown = {name: each for name, each in asdict(options).items() if name not in of_the_command}
        tracker.configuration(shown, hyperparameters(options))

        def validate() -> dict[str, float]:
            evaluation = task.evaluate(task.model, "val")
            if evaluation.show is not None:
                evaluation.show(tracker)
            return evaluation.metrics

        trainer = training.make_trainer(
            task.model, task.optimizer, task.batches,
            validate=validate, monitor=task.monitor, mode=task.mode, figures=task.figures,
            unit=task.unit, run=run, tracker=tracker, on_progress=on_progress,
        )  # fmt: skip
        trainer.fit()
    with without_gradients():
        evaluation = task.evaluate(task.model.eval(), "val")
    on_evaluated(evaluation)
    write_evaluation(run, Subject.of_run(run.path, "val", options), evaluation)
    return evaluation


def evaluate(
    folder: Path,
    options: type[Options],
    make_task: MakeTask[Options],
    kind: str,
    split: str = "val",
    *,
    model: nn.Module | None = None,
    data: str | None = None,
    changes: Mapping[str, Any] | None = None,
    device: DeviceLike = "auto",
    ensemble: Sequence[Path] = (),
    changed: Mapping[str, Any] | None = None,
    on_evaluated: OnEvaluated = do_nothing,
    **how: Any,
) -> Evaluation:
    """Evaluate a run's best weights on a split, and write the result to its folder.

    Args:
        folder: the run.
        options: the dataclass of its options.
        make_task: the experiment.
        kind: what a run of it is called.
        split: val, test, or any other split of the data.
        model: evaluated in the place of the run's own: an ensemble.
        data: the data, if not those that the run was trained on where they were then.
        changes: other options that are not those of the training, by name.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        ensemble: the other runs of `model`.
        changed: how it is evaluated otherwise than in training, by short names, for the files' names.
        on_evaluated: called with the evaluation before it is written, which may fail.
        how: further arguments of the task's own `evaluate`.

    Raises:
        UserError: the run or the data cannot be used.
    """
    run = Run.open(folder, kind)
    folder, data = run.path, None if data is None else str(expanded(data))
    trained = run.read_config(options)
    subject = Subject.of_run(
        folder, split, trained, data, ensemble=tuple(ensemble), changed=changed or {}
    )
    now = {"resume": False, **(changes or {}), **({} if data is None else {"data": data})}
    if unknown := now.keys() - {each.name for each in fields(trained)}:
        raise UserError(
            f"a {kind} has no option --{unknown.pop().replace('_', '-')} to be evaluated with."
        )
    if data is not None:  # a path, where the option is one
        now |= restored(options, {"data": data}, "--data")
    task = make_task(with_absolute_paths(replace(trained, **now)), Kept(run), choose_device(device))
    if model is None:
        run.load_model(task.model)
        model = task.model
    with without_gradients():
        evaluation = task.evaluate(model.eval(), split, **how)
    on_evaluated(evaluation)
    write_evaluation(run, subject, evaluation)
    return evaluation


def trained(
    folder: Path,
    options: type[Options],
    make_task: MakeTask[Options],
    kind: str,
    *,
    device: DeviceLike = "auto",
) -> tuple[nn.Module, Run]:
    """The model of a run with its best weights, in evaluation mode, and the run.

    The arguments are those of `evaluate`.

    Raises:
        UserError: the run or its data cannot be used.
    """
    run = Run.open(folder, kind)
    model = make_task(run.read_config(options), Kept(run), choose_device(device)).model
    run.load_model(model)
    return model.eval(), run


def write_evaluation(run: Run, subject: Subject, evaluation: Evaluation) -> None:
    """Write evaluation-NAME.json (metrics, their signatures, and what was evaluated) and the files of
    the evaluation, with the same NAME."""
    content: dict[str, Any] = dict(evaluation.metrics)
    if evaluation.signatures:
        content["signatures"] = dict(evaluation.signatures)
    content |= subject.to_dict() | dict(evaluation.recorded)
    write_json(run.file(f"evaluation-{subject.name}.json"), content)
    for name, written in evaluation.files.items():
        stem, dot, ending = name.rpartition(".")
        mode = "w" if isinstance(written, str) else "wb"
        with atomic_write(run.file(f"{stem}-{subject.name}{dot}{ending}"), mode) as file:
            if isinstance(written, str | bytes):
                file.write(written)
            else:
                written.save(file, format="PNG")


@dataclass(frozen=True)
class Subject:
    """A split of some data, and how it was evaluated.

    Args:
        split: val, test, ...
        trained_on: the folder of the data that the run was trained on; None where it has none, as
            with data that an experiment makes.
        data: the folder of the data that it is evaluated on.
        ensemble: runs that take part besides.
        changed: what is otherwise than in training, by a short name.
    """

    split: str
    trained_on: Path | None = None
    data: Path | None = None
    ensemble: tuple[Path, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls, run: Path, split: str, options: Any, data: str | Path | None = None, **others: Any
    ) -> Subject:
        """A split of the data that are named, or of those that the run was trained on.

        Args:
            run: its folder, for the message.
            options: those of the run; their `data`, if they have it, is what it was trained on.
            data: a folder; None: where the run's own are.
            split, others: as the class takes them.

        Raises:
            UserError: none is named, and the run's are not where they were.
        """
        ours = getattr(options, "data", None)
        ours = None if ours is None else Path(ours)
        if data is None and ours is not None and not ours.exists():
            place = "no longer there" if ours.is_absolute() else f"not in {Path.cwd()}"
            raise UserError(f"{ours}, the data of {run}, is {place}. Say where: --data.")
        return cls(split, ours, ours if data is None else Path(data), **others)

    @property
    def name(self) -> str:
        """Of the files: the split for what training itself evaluates, and longer for all else."""
        parts = [self._data_name(), self.split]
        if self.ensemble:
            parts += ["ensemble", *(run.resolve().name for run in self.ensemble)]
        parts += [f"{option}-{value}" for option, value in sorted(self.changed.items())]
        return "-".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """What its file records besides the metrics."""
        data = None if self.data is None else str(self.data.absolute())
        return {"data": data, "ensemble": [str(run) for run in self.ensemble]}

    def _data_name(self) -> str:
        """Empty for the data that the run was trained on, also where they were moved."""
        if self.data is None or self.trained_on is None:
            return ""
        ours, theirs = self.trained_on.resolve(), self.data.resolve()
        if ours == theirs or (ours.name == theirs.name and not ours.exists()):
            return ""
        return theirs.name if theirs.name != ours.name else "-".join(theirs.parts[-2:])
