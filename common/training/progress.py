"""How far a training has come, and when it ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Progress:
    """How far a training has come. It is part of every checkpoint, and what `fit` returns.

    Args:
        epoch: the present epoch, counted from 0.
        batch: the next batch of it.
        epoch_batches: how many batches it has.
        step: updates of the weights so far.
        seconds: time that training has taken so far, validation included.
        validated_step: the step of the last validation.
        best_step, best_epoch: the step and the epoch, counted from 1, of the best weights.
        best_metrics: what validation gave for them.
        without_improvement: validations since then.
        unmoved: validations, up to the last, in which the monitored metric was always the same.
        finished: why training ended; empty while it goes on.
        reported: the position of the tracker.
    """

    epoch: int = 0
    batch: int = 0
    epoch_batches: int = 0
    step: int = 0
    seconds: float = 0.0
    validated_step: int = -1
    best_step: int = 0
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    without_improvement: int = 0
    unmoved: int = 0
    finished: str = ""
    reported: dict[str, Any] | int = field(default_factory=dict)

    @property
    def ends_epoch(self) -> bool:
        """Whether the last batch of the epoch has been learnt from."""
        return self.batch >= self.epoch_batches

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not all(isinstance(each, float) for each in state["best_metrics"].values()):
            raise TypeError("a metric is no number")
        self.__dict__.update(state)


@dataclass(frozen=True)
class Limits:
    """Training stops at the first limit that is reached; None for no such limit.

    Args:
        epochs, steps, minutes, patience, patience_steps, monitor: as `Trainer` takes them.

    Raises:
        ValueError: no limit at all, or patience with nothing to monitor.
    """

    epochs: int | None = None
    steps: int | None = None
    minutes: float | None = None
    patience: int | None = None
    monitor: str | None = None
    patience_steps: int = 0

    def __post_init__(self) -> None:
        if (self.epochs, self.steps, self.minutes, self.patience) == (None,) * 4:
            raise ValueError("give max_epochs, max_steps, max_minutes or patience")
        if self.patience is not None and self.monitor is None:
            raise ValueError("patience needs a metric to monitor")

    def most_steps(self, epoch_steps: int) -> int | None:
        """Updates at most, where an epoch has `epoch_steps`; None if no limit counts them."""
        epochs = None if self.epochs is None else self.epochs * epoch_steps
        return min((each for each in (self.steps, epochs) if each is not None), default=None)

    def fraction(self, progress: Progress, epoch_steps: int) -> float:
        """How much of the training is done, by the nearest limit; 0 where only patience ends it."""
        most, minutes = self.most_steps(epoch_steps), self.minutes
        by_steps = progress.step / max(1, most) if most is not None else 0.0
        by_time = progress.seconds / (60 * minutes) if minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def reached(self, progress: Progress) -> str:
        """Why training is to stop now, in words; empty if it is not."""
        if self.epochs is not None and progress.epoch >= self.epochs:
            return f"{self.epochs} epoch{'s' * (self.epochs != 1)}"
        if self.steps is not None and progress.step >= self.steps:
            return f"{self.steps} step{'s' * (self.steps != 1)}"
        if self.minutes is not None and progress.seconds >= 60 * self.minutes:
            return f"{self.minutes:g} minutes"
        if self.patience is not None and progress.without_improvement >= self.patience:
            updates = progress.step - progress.best_step
            if updates >= self.patience_steps:
                unimproved = progress.without_improvement
                return f"no better {self.monitor} in {unimproved} validations"
        return ""
