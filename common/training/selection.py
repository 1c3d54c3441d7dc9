"""Which of all the weights that a training goes through it ends with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

from torch import nn

from common.training.averaging import BestFew, WeightAverage
from common.training.checkpoint import BestWeights
from common.training.distributed import World
from common.training.interruption import Interruption
from common.training.progress import Progress
from common.training.reports import Reports
from common.training.validation import undisturbed

if TYPE_CHECKING:
    from common.runs.run import Run

Validate = Callable[[], dict[str, float]]


class Selection:
    """Validates, keeps the best weights, and puts them into the model at the end.

    Args:
        model: what is trained.
        progress: notes which weights are the best so far.
        monitor: the metric that tells; None: the newest weights are the best.
        mode: whether "max" or "min" of it is best.
        average: where there is one, its weights are what is validated and kept.
        average_best: validations, the best of all, whose average is tried at the end; 0 for none.
        run: the folder to keep the best weights in; None keeps them in memory.
        world: the processes that train together; process 0 validates and keeps for all.
        interruption: Ctrl-C stops a validation at once.

    Raises:
        ValueError: an average of a single validation, or of the best by no metric.
    """

    def __init__(
        self,
        model: nn.Module,
        progress: Progress,
        *,
        monitor: str | None,
        mode: Literal["max", "min"],
        average: WeightAverage | None,
        average_best: int,
        run: Run | None,
        world: World,
        interruption: Interruption,
    ) -> None:
        if average_best and monitor is None:
            raise ValueError("average_best needs a metric to monitor, which tells what is best")
        self.model = model
        self.progress = progress
        self.monitor = monitor
        self.average = average
        self.few = BestFew(run, average_best, mode) if average_best else None
        self.world = world
        self.interruption = interruption
        self.best = BestWeights(run, monitor, mode)

    def validate(self, validate: Validate | None) -> tuple[dict[str, float], bool] | None:
        """Validate the present weights, and keep them if they are the best, or among the best.

        Returns:
            The metrics, and whether they are the best so far; None if Ctrl-C interrupted the
            validation, which is begun anew when the run is resumed.
        """
        metrics = self._measure(validate, self._averaged())
        if metrics is None:
            return None
        progress = self.progress
        improved = self.best.improves(metrics, progress.best_metrics)
        if improved:
            progress.best_step, progress.best_metrics = progress.step, metrics
            progress.without_improvement = 0
            self._keep()
        else:
            progress.without_improvement += 1
        if self.few is not None and self.monitor is not None:
            among = self.few.take(progress.step, metrics[self.monitor])
            if among and self.world.rank == 0:
                with self._averaged():
                    self.few.keep(self.model, progress.step)
        return metrics, improved

    def tidy(self) -> None:
        """Delete what no resumed training will ask for, once the state of this one is saved."""
        if self.few is not None and self.world.rank == 0:
            self.few.tidy()

    def finish(self, validate: Validate | None, reports: Reports) -> bool:
        """Put the best weights into the model of process 0; False if Ctrl-C interrupted it.

        The saved state knows nothing of the average that is tried here: a training that is carried
        on later goes on as if it had never ended.
        """
        if not self.progress.best_step:
            self._keep()  # the monitored metric was never a number
        if self.few is not None and len(self.few) > 1:
            if self.world.rank == 0:
                self.few.load_average(self.model)
            metrics = self._measure(validate, nullcontext())
            if metrics is None:
                return False
            self._decide(self.few, metrics, reports)
        if self.world.rank == 0:
            self.best.load(self.model)
        return True

    def _decide(self, few: BestFew, metrics: dict[str, float], reports: Reports) -> None:
        """Between the average, which the model holds now and `metrics` are of, and the best."""
        improved = self.best.improves(metrics, self.progress.best_metrics)
        if self.world.rank == 0:
            if not improved:  # an earlier end of this run may have kept its average
                few.load_best(self.model)
            self.best.keep(self.model)
        if improved:
            self.progress.best_metrics, self.progress.averaged = metrics, len(few)
        reports.average(metrics, count=len(few), improved=improved)

    def _measure(
        self, validate: Validate | None, weights: AbstractContextManager[None]
    ) -> dict[str, float] | None:
        """What `validate` gives within `weights`, as process 0 finds it; None after Ctrl-C."""
        metrics: dict[str, float] | None = {}
        if validate is not None and self.world.rank == 0:
            # One of several processes cannot stop alone: there, Ctrl-C waits for the next report.
            alone = self.world.size == 1
            at_once = self.interruption.immediate() if alone else nullcontext()
            metrics = undisturbed(self.model, validate, at_once, weights)
            if metrics is None and not alone:
                raise KeyboardInterrupt
        return self.world.from_first(metrics)

    def _averaged(self) -> AbstractContextManager[None]:
        """Within the block, the model has its averaged weights, if there are any."""
        return nullcontext() if self.average is None else self.average.applied()

    def _keep(self) -> None:
        if self.world.rank == 0:
            with self._averaged():
                self.best.keep(self.model)
