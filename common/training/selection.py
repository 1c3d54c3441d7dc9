"""Which of all the weights that a training goes through it ends with: an average, the best."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from common.compute.device import to_host
from common.compute.precision import without_gradients
from common.runs.run import Run
from common.runs.weights import load_state_dict
from common.training.checkpoint import random_state, restore_random_state
from common.training.distributed import World
from common.training.interruption import Interruption
from common.training.progress import Progress

Validate: TypeAlias = Callable[[], dict[str, float]]


class WeightAverage:
    """Averages the parameters over the updates (Polyak and Juditsky 1992, exponentially).

        average = d * average + (1 - d) * parameter,    d = min(decay, (1 + n) / (10 + n))

    after update number n, counted from 0: the first averages forget the initial weights quickly.

    Args:
        parameters: what is averaged; each parameter once.
        decay: how much of the average stays at each update, as 0.999.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, not {decay}")
        self.parameters = list(parameters)
        self.decay = decay
        self.updates = 0
        self.averages = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the present parameters into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block, the parameters are the averages; after it, what they were."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            held = parameter.clone()
            parameter.copy_(average)
            average.copy_(held)

    def state_dict(self) -> dict:
        return {"updates": self.updates, "averages": self.averages}

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        for average, saved in zip(self.averages, state["averages"], strict=True):
            average.copy_(saved)


@dataclass(eq=False)
class Selection:
    """Validates, keeps the best weights, and puts them into the model at the end.

    Args:
        model, monitor, mode, run, world: as `Trainer` takes them; without a run the best weights are
            kept in memory, and process 0 of the world validates and keeps for all.
        progress: notes which weights are the best so far.
        measure: gives the metrics by name, and may draw random numbers; None: there are none.
        every: steps between validations; None for once after every epoch.
        average: where there is one, its weights are what is validated and kept.
        interruption: Ctrl-C stops a validation at once.

    Raises:
        ValueError: a metric of no validation, or an unknown mode.
    """

    model: nn.Module
    progress: Progress
    measure: Validate | None = None
    _: KW_ONLY
    every: int | None = None
    monitor: str | None = None
    mode: Literal["max", "min"] = "max"
    average: WeightAverage | None = None
    run: Run | None = None
    world: World = World()
    interruption: Interruption = field(default_factory=Interruption)

    def __post_init__(self) -> None:
        if self.monitor is not None and self.measure is None:
            raise ValueError("monitor needs validate, which gives the metrics")
        if self.mode not in ("max", "min"):
            raise ValueError(f'mode is "max" or "min", not {self.mode!r}')
        self._weights: dict[str, Tensor] = {}  # the best, where there is no run

    def is_due(self) -> bool:
        """Every so many steps, or at the end of an epoch; once at a step."""
        progress = self.progress
        if progress.validated_step == progress.step:
            return False
        if self.every is None:
            return progress.ends_epoch
        return progress.step > 0 and progress.step % self.every == 0

    def validate(self) -> tuple[dict[str, float], bool] | None:
        """Validate the present weights, and keep them if they are the best.

        Returns:
            The metrics, and whether they are the best so far; None if Ctrl-C interrupted the
            validation, which is begun anew when the run is resumed.

        Raises:
            ValueError: the monitored metric is not among them.
        """
        metrics: dict[str, float] | None = {}
        if self.measure is not None and self.world.rank == 0:
            metrics = self._undisturbed(self.measure)
        metrics = self.world.from_first(metrics)
        if metrics is None:
            return None
        progress = self.progress
        best = progress.best_metrics.get(self.monitor or "")
        progress.unmoved = progress.unmoved + 1 if metrics.get(self.monitor or "") == best else 0
        improved = self.improves(metrics)
        if improved:
            progress.best_step, progress.best_epoch = progress.step, progress.epoch + 1
            progress.best_metrics = metrics
            progress.without_improvement = 0
            self.keep()
        else:
            progress.without_improvement += 1
        progress.validated_step = progress.step
        return metrics, improved

    def improves(self, metrics: dict[str, float]) -> bool:
        """Are these metrics better than the best so far? NaN is never better, and of two values of the
        monitored metric that are the same, that with the lower "loss" is."""
        if self.monitor is None:
            return True
        if self.monitor not in metrics:
            known = ", ".join(metrics) or "nothing"
            raise ValueError(f"validation gave {known}, not {self.monitor}, which is monitored")
        value, best = metrics[self.monitor], self.progress.best_metrics.get(self.monitor)
        if math.isnan(value):
            return False
        if value == best:
            loss, lowest = (
                each.get("loss", math.nan) for each in (metrics, self.progress.best_metrics)
            )
            return loss < lowest
        return best is None or (value > best if self.mode == "max" else value < best)

    def keep(self) -> None:
        """Keep the present weights as the best."""
        if self.world.rank == 0:
            with self.average.applied() if self.average else nullcontext():
                if self.run is not None:
                    self.run.save_model(self.model)
                else:
                    self._weights = copy.deepcopy(to_host(self.model.state_dict()))

    def finish(self) -> None:
        """Put the best weights into the model of process 0."""
        lost = self.run is not None and not self.run.has_weights()
        if not self.progress.best_step or lost:
            self.keep()  # the metric was never a number, or the folder was deleted meanwhile
        if self.world.rank == 0:
            if self.run is not None:
                self.run.load_model(self.model)
            else:
                load_state_dict(self.model, self._weights)

    def _undisturbed(self, measure: Validate) -> dict[str, float] | None:
        """The metrics, while nothing changes that the training depends on; None after Ctrl-C."""
        device = next(self.model.parameters()).device
        generators = random_state(device)
        self.model.eval()
        try:
            with ExitStack() as stack, without_gradients():
                # One of several processes cannot stop alone: there, Ctrl-C waits for the next report.
                if self.world.size == 1:
                    stack.enter_context(self.interruption.immediate())
                if self.average is not None:
                    stack.enter_context(self.average.applied())
                return {name: float(value) for name, value in measure().items()}
        except KeyboardInterrupt:
            if self.world.size > 1:
                raise
            return None
        finally:
            restore_random_state(generators, device)
            self.model.train()
