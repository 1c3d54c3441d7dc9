"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

import torch
from torch import Tensor, nn

from common.compute import Precision
from common.compute.precision import choose_precision
from common.errors import UserError
from common.training.averaging import WeightAverage
from common.training.batches import grouped
from common.training.checkpoint import Checkpoint
from common.training.distributed import World
from common.training.interruption import Interruption
from common.training.limits import Limits
from common.training.loss import Figures, mean_of_sums
from common.training.meter import Meter, diverged
from common.training.progress import Progress
from common.training.reports import Reports
from common.training.schedules import Constant, Schedule
from common.training.selection import Selection
from common.training.tracking import Tracker
from common.training.update import Update

if TYPE_CHECKING:
    from common.runs.run import Run

OnProgress: TypeAlias = Callable[[int, int | None], None]  # updates so far, and at most


class Trainer:
    """Trains any module that has `loss(batch) -> Loss`.

    After `fit`, the model holds its best weights: those of the validation with the best monitored
    metric, or the average of the best few if that is better; the last ones where nothing is
    monitored.

    With a `run`, everything is kept there: the best weights whenever they improve, and all of the
    training's state after every epoch and every few minutes. A run that holds such a state is
    resumed by the same call of `fit`, and goes on as if it had never stopped: on the CPU, bit for
    bit. That needs `batches` to be a function of the epoch alone, and what is random in a batch to
    come from the global random generators or from (seed, epoch, batch). On a GPU it is the latter
    alone, since batches are made ahead there. The same numbers then come again but for what CUDA does
    not promise: some of its backward kernels add up in any order, and cuDNN's dropout between layers
    has a generator that cannot be saved.

    Args:
        model: has `loss(batch) -> Loss`; it is trained on the device that it is on.
        optimizer: over the parameters of the model, with the full learning rates.
        batches: gives, for an epoch, the sequence of its batches: a list, or `Batches`, which
            makes each when it is asked for. Tensors in a batch are moved to the model's device.
        validate: gives the metrics to report, by name; called with the model in evaluation mode,
            with its averaged weights if there are any, and without gradients.
        monitor: the metric that chooses the best weights, and that patience counts on.
        mode: whether "max" or "min" of it is best.
        patience: validations without improvement after which training stops; None for never.
        max_epochs, max_steps, max_minutes: training stops at the first that is reached.
        validate_every: steps between validations; None for once after every epoch.
        schedule: factors on the learning rates over time; see `schedules`.
        clip_norm: gradients are scaled down to this norm, all together; None leaves them.
        accumulate: batches whose gradients make one update, as if they were one large batch: each
            counts by the count of its loss.
        precision: "bf16" computes with bfloat16 where `torch.autocast` does, and may round to
            TensorFloat-32 elsewhere on a GPU; weights stay float32. "auto" is "bf16" where that is
            faster for this model and device, which is measured here, once.
        average_decay: also keep an exponential moving average of the weights, with this decay;
            it is what is validated and saved. None for none.
        average_best: validations, the best of all, whose weights are averaged at the end; the average
            is validated, and becomes the model if it is better than each. The run keeps them
            (best-*.safetensors). 0 for no such average.
        figures: makes what is reported beside the loss of its sums and its count.
        unit: what the count of a loss counts: "tokens", "sentences"; the speed is reported in it.
        run: the folder to keep everything in; None keeps nothing on disk.
        tracker: where to report; None reports nowhere.
        seed: seeds all random generators when training starts; None leaves them.
        log_every: steps between reports; only then does training wait for the device.
        checkpoint_minutes, checkpoint_steps: how often the state is saved within an epoch.
        workers: processes that make batches ahead of time; 0 makes them here.
        world: the processes that train together (see `distributed`).
        how_to_resume: what to tell the user after Ctrl-C.
        on_progress: called after every update, and what is due after it, with the updates so far
            and how many there will be at most; None where no limit counts updates or epochs.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Callable[[int], Sequence[Any]],
        *,
        validate: Callable[[], dict[str, float]] | None = None,
        monitor: str | None = None,
        mode: Literal["max", "min"] = "max",
        patience: int | None = None,
        max_epochs: int | None = None,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        validate_every: int | None = None,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
        precision: Precision = "fp32",
        average_decay: float | None = None,
        average_best: int = 0,
        figures: Figures = mean_of_sums,
        unit: str = "examples",
        run: Run | None = None,
        tracker: Tracker | None = None,
        seed: int | None = 0,
        log_every: int = 50,
        checkpoint_minutes: float = 10.0,
        checkpoint_steps: int | None = None,
        workers: int = 0,
        world: World | None = None,
        how_to_resume: str = "Run the same command with --resume to go on.",
        on_progress: OnProgress | None = None,
    ) -> None:
        if monitor is not None and validate is None:
            raise ValueError("monitor needs validate, which gives the metrics")
        if mode not in ("max", "min") or precision not in ("fp32", "bf16", "auto"):
            raise ValueError('mode is "max" or "min", and precision "fp32", "bf16" or "auto"')
        if min(accumulate, log_every, validate_every or 1, checkpoint_steps or 1) < 1:
            raise ValueError("counts of batches and steps must be at least 1")
        self.world = world or World()
        self.limits = Limits(max_epochs, max_steps, max_minutes, patience, monitor)
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.validate = validate
        self.monitor = monitor
        self.validate_every = validate_every
        self.schedule = schedule or Constant()
        self.clip_norm = clip_norm
        self.accumulate = accumulate
        self.precision = choose_precision(precision, model)
        self.update = Update(
            model, optimizer, clip_norm=clip_norm, accumulate=accumulate,
            precision=self.precision, world=self.world,
        )  # fmt: skip
        self.run = run
        self.tracker = tracker or Tracker(progress=False)
        self.log_every = log_every
        self.checkpoint_minutes = checkpoint_minutes
        self.checkpoint_steps = checkpoint_steps
        self.workers = workers
        self.how_to_resume = how_to_resume
        self.on_progress = on_progress

        self.device = next(model.parameters()).device
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.average = (
            None if average_decay is None else WeightAverage(self.parameters, average_decay)
        )
        self.progress = Progress()
        self.meter = Meter(figures, unit)
        self.reports = Reports(self.tracker, self.meter, optimizer, self.progress)
        self.interruption = Interruption()
        self.selection = Selection(
            model,
            self.progress,
            monitor=monitor,
            mode=mode,
            average=self.average,
            average_best=average_best,
            run=run,
            world=self.world,
            interruption=self.interruption,
        )
        self.checkpoint = Checkpoint(
            run,
            {
                "model": model,
                "optimizer": optimizer,
                "schedule": self.schedule,
                "progress": self.progress,
                "meter": self.meter,
                "average": self.average,
                "best_few": self.selection.few,
            },
            world=self.world,
            seed=seed,
            device=self.device,
            say=self.tracker.say,
        )
        self._begun = self._saved_at = 0.0  # seconds
        self._stop = False

    def fit(self) -> Progress:
        """Train until a limit is reached, from the beginning or from where the run stopped.

        Raises:
            UserError: the loss or a gradient is NaN or infinite, or the run cannot be resumed.
            KeyboardInterrupt: Ctrl-C; the state has been saved, and the message says how to go on.
        """
        progress = self.progress
        with self.interruption.listening():
            self._begin()
            while not self.limits.reached(progress):
                batches = self._enter_epoch()
                if self._validation_is_due():  # Ctrl-C had interrupted it
                    self._validate()
                with closing(self._groups(batches)) as groups:
                    for group, size in groups:
                        self._update(group)
                        progress.step += 1
                        progress.batch += size
                        self._after_update(size)
                        if self.limits.reached(progress):
                            break
                if progress.batch >= len(batches):
                    progress.epoch += 1
                    progress.batch = 0
            self._end()
        return progress

    def _enter_epoch(self) -> Sequence[Any]:
        """The batches of the present epoch: the same again where it is resumed."""
        progress = self.progress
        batches = self.batches(progress.epoch)
        if not len(batches):
            raise UserError("there is nothing to train on: the training data gives no batch.")
        if progress.batch and len(batches) != progress.epoch_batches:
            raise UserError(
                f"the data or the batch size has changed: epoch {progress.epoch + 1} has "
                f"{len(batches)} batches now, and had {progress.epoch_batches}. "
                "Resume with what the run was started with, or start another run."
            )
        progress.epoch_batches = len(batches)
        self.tracker.begin_epoch(progress.epoch, len(batches), progress.batch)
        return batches

    def _groups(self, batches: Sequence[Any]) -> Generator[tuple[Iterator[Any], int], None, None]:
        """What is left of the epoch, in groups of batches: one group for each update."""
        return grouped(
            batches,
            self.progress.batch,
            accumulate=self.accumulate,
            world=self.world,
            workers=self.workers,
            seed=self.progress.epoch,
            device=self.device,
        )

    def _update(self, group: Iterable[Any]) -> None:
        """Change the weights once, and take note of the loss. Nothing waits for the device."""
        factor = self.schedule.factor(self.progress.step)
        for settings in self.optimizer.param_groups:
            settings["lr"] = settings["initial_lr"] * factor
        loss, norm, examples = self.update(group)
        self.meter.add(loss, norm, examples, self.progress.step + 1)
        if self.average is not None:
            self.average.update()

    def _after_update(self, batches: int) -> None:
        """Report, validate, save and stop, whatever is due after a step."""
        progress = self.progress
        self.tracker.step = progress.step
        self.tracker.advance(batches)
        self._read_clock()
        if progress.step % self.log_every == 0:
            self.reports.training(self.device)
        if self._validation_is_due():
            self._validate()
            self._save()
        elif self._save_is_due():
            self._save()
        if self._stop:
            self._stop_here()
        if self.on_progress is not None:
            updates = -(-progress.epoch_batches // (self.accumulate * self.world.size))
            self.on_progress(progress.step, self.limits.most_steps(updates))

    def _read_clock(self) -> None:
        """Take note of the time and of Ctrl-C. Several processes must find the same at the same
        step: they ask process 0, and only now and then."""
        found = time.perf_counter() - self._begun, self.interruption.requested
        if self.world.size > 1:
            if self.progress.step % self.log_every:
                return
            found = self.world.from_first(found)
        self.progress.seconds, self._stop = found

    def _validation_is_due(self) -> bool:
        """Every so many steps, or at the end of an epoch; once at a step."""
        progress = self.progress
        if progress.validated_step == progress.step:
            return False
        if self.validate_every is None:
            return progress.batch >= progress.epoch_batches
        return progress.step > 0 and progress.step % self.validate_every == 0

    def _validate(self) -> None:
        """Validate the present weights, and report all that is not reported yet."""
        progress = self.progress
        self.meter.read()
        if len(self.meter):
            self.reports.training(self.device)
        found = self.selection.validate(self.validate)
        if found is None:
            self._stop_here()
        metrics, improved = found
        self.schedule.validated(improved)
        progress.validated_step = progress.step
        self.reports.validation(metrics, improved=improved, monitored=self.monitor is not None)
        self.meter.restart_clock()

    def _end(self) -> None:
        """Validate and save what was not, and put the best weights into the model."""
        progress = self.progress
        if progress.validated_step != progress.step:  # a limit fell between two validations
            self._validate()
        progress.finished = self.limits.reached(progress)
        self._save()
        self.tracker.end_epoch()
        if not self.selection.finish(self.validate, self.reports):
            self._stop_here(save=False)
        self.world.copy_from_first(self._tensors())
        self.reports.end(monitored=self.monitor is not None)

    # Starting, saving, stopping

    def _begin(self) -> None:
        """Start from the beginning, or from the state that the run holds."""
        resumed = self.checkpoint.restore()
        progress = self.progress
        self.world.copy_from_first(self._tensors())
        if self.run is not None:
            self.tracker.rewind(progress.step, progress.reported)
        if resumed:
            self.tracker.say(f"resuming after step {progress.step}")
        progress.finished = ""
        self.model.train()  # a validation restores it
        self.meter.restart_clock()
        self._begun = time.perf_counter() - progress.seconds
        self._saved_at = progress.seconds

    def _save(self) -> None:
        """Save everything, unless it is not sound: then the last state stays."""
        self.meter.read()
        # Asked once for all: each answer would make the host wait.
        if not torch.stack([weights.isfinite().all() for weights in self.parameters]).all():
            raise diverged("weight", math.nan, self.progress.step)
        self.progress.reported = self.tracker.position()
        self.checkpoint.save()
        self.selection.tidy()
        self._saved_at = self.progress.seconds

    def _save_is_due(self) -> bool:
        """At the end of an epoch, and every so many steps and minutes."""
        progress = self.progress
        if progress.batch >= progress.epoch_batches:
            return True
        if self.checkpoint_steps and progress.step % self.checkpoint_steps == 0:
            return True
        return progress.seconds - self._saved_at >= 60 * self.checkpoint_minutes

    def _stop_here(self, *, save: bool = True) -> NoReturn:
        """Save, and say how to go on."""
        if save:
            self._save()
        self.tracker.end_epoch()
        saved = f"; {self.run.path} holds everything. {self.how_to_resume}" if self.run else "."
        raise KeyboardInterrupt(f"stopped after step {self.progress.step}{saved}")

    def _tensors(self) -> list[Tensor]:
        return [tensor.data for tensor in (*self.model.parameters(), *self.model.buffers())]
