"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, Literal, NoReturn, TypeAlias

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from common.compute import Precision
from common.compute.precision import choose_precision
from common.runs.run import Run
from common.training.batches import grouped
from common.training.checkpoint import Checkpoint
from common.training.compilation import Compilation
from common.training.display import Display
from common.training.distributed import World
from common.training.epochs import Given, enter_epoch
from common.training.interruption import Interruption
from common.training.loss import Figures, mean_of_sums
from common.training.meter import Meter, Reports
from common.training.progress import Limits, Progress
from common.training.selection import Selection, Validate, WeightAverage
from common.training.tracking import Tracker
from common.training.update import Update

OnProgress: TypeAlias = Callable[[int, int | None], None]  # updates so far, and at most


@dataclass(eq=False, repr=False)
class Trainer:
    """Trains any module that has `loss(batch)`, which returns a `Loss`, or the mean over the examples.

    After `fit`, the model holds its best weights: those of the validation with the best monitored
    metric; the last ones where nothing is monitored.

    With a `run`, everything is kept there: the best weights whenever they improve, and all of the
    training's state after every epoch and every few minutes. A run that holds such a state is
    resumed by the same call of `fit`, and goes on as if it had never stopped: on the CPU, bit for
    bit. That needs `batches` to be a function of the epoch alone, and what is random in a batch to
    come from the global random generators or from (seed, epoch, batch). On a GPU it is the latter
    alone, since batches are made ahead there, and some numbers differ still: some backward kernels
    add up in any order, and the generator of cuDNN's dropout between layers cannot be saved.

    Args:
        model: has `loss(batch)`; it is trained on the device that it is on.
        optimizer: over the parameters of the model, with the full learning rates.
        batches: gives, for an epoch, the sequence of its batches: a list, `Batches`, which makes each
            when it is needed, or a `DataLoader`; or is one of them, for all epochs. Tensors in a batch
            are moved to the model's device.
        validate: gives the metrics to report, by name; called with the model in evaluation mode,
            with its averaged weights if there are any, and without gradients.
        monitor: the metric that chooses the best weights, and that patience counts on. Of weights
            that it cannot tell apart, those with the lower metric "loss" are better, if there is one.
        mode: whether "max" or "min" of it is best.
        patience: validations without improvement after which training stops; None for never.
        patience_steps: fewest updates without improvement after which it stops: for data so few that
            an epoch is an update or two.
        max_epochs, max_steps, max_minutes: training stops at the first that is reached.
        validate_every: steps between validations; None for once after every epoch.
        scheduler: of `torch.optim.lr_scheduler`, stepped after every update; ReduceLROnPlateau after
            every validation, with the monitored metric. See also `schedules`.
        clip_norm: gradients are scaled down to this norm, all together; None leaves them.
        accumulate: batches whose gradients make one update, as if they were one large batch: each
            counts by the count of its loss.
        precision: "bf16" computes with bfloat16 where `torch.autocast` does, and may round to
            TensorFloat-32 elsewhere on a GPU; weights stay float32. "auto" is "bf16" where that is
            faster for this model and device, which is measured here, once.
        compile: compile the loss where that works (see `Compilation`), but not what validates.
        average_decay: also keep an exponential moving average of the weights, with this decay;
            it is what is validated and saved. None for none.
        figures: makes what is reported beside the loss of its sums and its count.
        unit: what the count of a loss counts: "tokens", "sentences"; the speed is reported in it.
        run: the folder to keep everything in; None keeps nothing on disk.
        tracker: where to report; nowhere by default.
        seed: seeds all random generators when training starts; None leaves them.
        log_every: steps between reports; only then does training wait for the device.
        checkpoint_minutes, checkpoint_steps: how often the state is saved within an epoch.
        workers: processes that make batches ahead of time; 0 makes them here.
        world: the processes that train together (see `distributed`).
        how_to_resume: what to tell the user after Ctrl-C.
        on_progress: called after every update, and what is due after it, with the updates so far
            and how many there will be at most; None where no limit counts updates or epochs.

    Raises:
        ValueError: arguments that do not go together.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Given
    _: KW_ONLY
    validate: Validate | None = None
    monitor: str | None = None
    mode: Literal["max", "min"] = "max"
    patience: int | None = None
    patience_steps: int = 0
    max_epochs: int | None = None
    max_steps: int | None = None
    max_minutes: float | None = None
    validate_every: int | None = None
    scheduler: LRScheduler | None = None
    clip_norm: float | None = None
    accumulate: int = 1
    precision: Precision = "fp32"
    compile: bool = False
    average_decay: float | None = None
    figures: Figures = mean_of_sums
    unit: str = "examples"
    run: Run | None = None
    tracker: Tracker = field(default_factory=partial(Tracker, progress=False))
    seed: int | None = 0
    log_every: int = 50
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None
    workers: int = 0
    world: World = World()
    how_to_resume: str = "Run the same command with --resume to go on."
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16", "auto"):
            raise ValueError('precision is "fp32", "bf16" or "auto"')
        counts = (self.accumulate, self.log_every, self.validate_every, self.checkpoint_steps)
        if min(1 if count is None else count for count in counts) < 1:
            raise ValueError("counts of batches and steps must be at least 1")
        scheduler, monitor, world = self.scheduler, self.monitor, self.world
        self.plateau = scheduler if isinstance(scheduler, ReduceLROnPlateau) else None
        if self.plateau is not None and (monitor is None or self.plateau.mode != self.mode):
            raise ValueError("ReduceLROnPlateau needs a metric to monitor, and its mode")
        self.limits = Limits(
            self.max_epochs, self.max_steps, self.max_minutes, self.patience, monitor,
            self.patience_steps,
        )  # fmt: skip
        self.progress = progress = Progress()
        self.interruption = Interruption()
        self.update = Update(
            self.model, self.optimizer, clip_norm=self.clip_norm, accumulate=self.accumulate,
            precision=world.from_first(choose_precision(self.precision, self.model)), world=world,
            compilation=Compilation(self.model, self.tracker.warn) if self.compile else None,
        )  # fmt: skip
        self.device, self.parameters = self.update.device, self.update.parameters
        decay = self.average_decay
        self.average = WeightAverage(self.parameters, decay) if decay else None
        self.meter = Meter(self.figures, self.unit)
        self.display = Display(
            progress, self.limits, self.unit, self.meter.newest, shown=self.tracker.progress,
            group=self.accumulate * world.size,
            validate_every=self.validate_every if self.validate is not None else 0,
        )  # fmt: skip
        reporting = self.tracker, self.meter, self.optimizer, progress, self.display, monitor
        self.reports = Reports(*reporting)
        self.selection = Selection(
            self.model, self.progress, self.validate, every=self.validate_every, monitor=monitor,
            mode=self.mode, average=self.average, run=self.run, world=world,
            interruption=self.interruption,
        )  # fmt: skip
        parts = {
            "model": self.model, "optimizer": self.optimizer, "scheduler": scheduler,
            "meter": self.meter, "average": self.average,
        }  # fmt: skip
        self.checkpoint = Checkpoint(
            self.run, self.progress, parts, world=world, every_steps=self.checkpoint_steps,
            every_minutes=self.checkpoint_minutes, seed=self.seed, device=self.device,
            say=self.tracker.say,
        )  # fmt: skip
        self._began, self._stop = 0.0, False  # seconds

    def fit(self) -> Progress:
        """Train until a limit is reached, from the beginning or from where the run stopped.

        Raises:
            UserError: the loss or a gradient is NaN or infinite, or the run cannot be resumed, or is
                being trained by another process.
            TypeError: the model returns no `Loss`.
            KeyboardInterrupt: Ctrl-C; the state has been saved, and the message says how to go on.
        """
        progress = self.progress
        with ExitStack() as stack:
            if self.run is not None and self.world.rank == 0:
                self.run.hold()
                stack.callback(self.run.release)
            stack.callback(self.display.close)
            stack.enter_context(self.interruption.listening())
            self._begin()
            while not self.limits.reached(progress):
                batches = self._enter_epoch()
                if self.selection.is_due():  # Ctrl-C had interrupted it
                    self._validate()
                with closing(self._groups(batches)) as groups:
                    for group, size in groups:
                        self._update(group)
                        progress.step += 1
                        progress.batch += size
                        self._after_update(size)
                        if self.limits.reached(progress):
                            break
                if progress.ends_epoch:
                    progress.epoch += 1
                    progress.batch = 0
            self._end()
        return progress

    def _begin(self) -> None:
        """Start from the beginning, or from the state that the run holds."""
        resumed = self.checkpoint.restore()
        progress = self.progress
        self.world.copy_from_first(self.model)
        if self.run is not None:
            self.tracker.rewind(progress.step, progress.reported)
        if resumed:
            self.tracker.say(f"resuming after step {progress.step}")
        progress.finished = ""
        self.model.train()  # a validation restores it
        self.meter.restart_clock()
        if not resumed and self.run is not None:
            self._save()  # before the first weights: a run that has weights can be resumed
        self._began = time.perf_counter() - progress.seconds

    def _enter_epoch(self) -> Sequence[Any]:
        """The batches of the present epoch: the same again where it is resumed."""
        batches = enter_epoch(self.batches, self.progress, self.seed or 0)
        self.display.begin_epoch()
        return batches

    def _groups(self, batches: Sequence[Any]) -> Generator[tuple[Iterator[Any], int], None, None]:
        """What is left of the epoch, in groups of batches: one group for each update."""
        return grouped(
            batches, self.progress.batch, accumulate=self.accumulate, world=self.world,
            workers=self.workers, seed=self.progress.epoch, device=self.device,
        )  # fmt: skip

    def _update(self, group: Iterable[Any]) -> None:
        """Change the weights once, and all that follows them. Nothing waits for the device."""
        loss, norm, examples = self.update(group)
        self.meter.add(loss, norm, examples, self.progress.step + 1)
        if self.average is not None:
            self.average.update()
        if self.scheduler is not None and self.plateau is None:
            self.scheduler.step()

    def _after_update(self, batches: int) -> None:
        """Report, validate, save and stop, whatever is due after a step."""
        progress = self.progress
        self.tracker.step = progress.step
        self._read_clock()
        self.display.advance(batches)
        if progress.step % self.log_every == 0:
            self.reports.training(self.device)
        if self.selection.is_due():
            self._validate()
            self._save()
        elif self.checkpoint.is_due():
            self._save()
        if self._stop:
            self._stop_here()
        if self.on_progress is not None:
            self.on_progress(progress.step, self.limits.most_steps(self.display.epoch_steps))

    def _read_clock(self) -> None:
        """Take note of the time and of Ctrl-C. Several processes must find the same at the same
        step: they ask process 0, and only now and then."""
        found = time.perf_counter() - self._began, self.interruption.requested
        if self.world.size > 1:
            if self.progress.step % self.log_every:
                return
            found = self.world.from_first(found)
        self.progress.seconds, self._stop = found

    def _validate(self) -> None:
        """Validate the present weights, and report all that is not reported yet."""
        self.meter.read()
        if len(self.meter):
            self.reports.training(self.device)
        before = self.tracker.position()
        with self.display.validating():
            found = self.selection.validate()
        if found is None:  # a resumed run begins it anew
            self.tracker.rewind(self.progress.step, before)
            self._stop_here()
        metrics, improved = found
        if self.plateau is not None and self.monitor is not None:
            value = metrics[self.monitor]
            if improved and value == self.plateau.best:  # of two that are alike, this is better
                self.plateau.num_bad_epochs = 0
            else:
                self.plateau.step(value)
        self.reports.validation(metrics, improved=improved)
        self.meter.restart_clock()

    def _save(self) -> None:
        """Save everything, unless it is not sound: then the last state stays."""
        self.meter.read()
        self.progress.reported = self.tracker.position()
        self.checkpoint.save()

    def _end(self) -> None:
        """Validate and save what was not, and put the best weights into the model."""
        progress = self.progress
        if progress.validated_step != progress.step:  # a limit fell between two validations
            self._validate()
        progress.finished = self.limits.reached(progress)
        self._save()
        self.selection.finish()
        self.world.copy_from_first(self.model)
        self.reports.end()

    def _stop_here(self) -> NoReturn:
        """Save, and say how to go on."""
        self._save()
        saved = f"; {self.run.path} holds everything. {self.how_to_resume}" if self.run else "."
        raise KeyboardInterrupt(f"stopped after step {self.progress.step}{saved}")
