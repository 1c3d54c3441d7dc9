"""Learning rates over time: for every update, a factor on the rate of the optimiser."""

from __future__ import annotations

import math
from typing import Any, Protocol


class Schedule(Protocol):
    """What `Trainer` asks of a schedule; the classes of this file are all it comes with."""

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by for the update after `step` others."""
        ...

    def validated(self, improved: bool) -> None:
        """Take note of a validation: did the monitored metric improve?"""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def warm_up(step: int, steps: int) -> float:
    """Linear from 1/steps at the first update to 1 at update number `steps`."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


class Constant:
    """The same learning rate throughout, after a linear warm-up.

    Args:
        warmup_steps: updates until the full rate is reached.
    """

    def __init__(self, *, warmup_steps: int = 0) -> None:
        self.warmup_steps = warmup_steps

    def factor(self, step: int) -> float:
        return warm_up(step, self.warmup_steps)

    def validated(self, improved: bool) -> None:
        """Nothing here depends on validation."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is kept: the factor is a function of the step."""


class Cosine(Constant):
    """Half a cosine from the full rate down to a floor (Loshchilov and Hutter 2017), once.

    Args:
        total_steps: updates after which the floor is reached.
        warmup_steps: updates until the full rate is reached; the cosine begins there.
        floor: the factor at the end.
    """

    def __init__(self, total_steps: int, *, warmup_steps: int = 0, floor: float = 0.0) -> None:
        super().__init__(warmup_steps=warmup_steps)
        if total_steps <= warmup_steps:
            raise ValueError("total_steps must be more than warmup_steps")
        self.total_steps = total_steps
        self.floor = floor

    def factor(self, step: int) -> float:
        if step < self.warmup_steps:
            return warm_up(step, self.warmup_steps)
        done = min(1.0, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


class InverseSquareRoot(Constant):
    """The full rate at the end of the warm-up, then falling with the root of the step
    (Vaswani et al. 2017, eq. 3, without its scale).

    Args:
        warmup_steps: updates until the full rate is reached; the more, the slower the fall.
    """

    def __init__(self, *, warmup_steps: int = 4000) -> None:
        super().__init__(warmup_steps=max(1, warmup_steps))

    def factor(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup_steps, math.sqrt(self.warmup_steps / (step + 1)))


class Plateau(Constant):
    """Lower the rate whenever the monitored metric has stopped improving, after a warm-up.

    Args:
        decay: what the rate is multiplied by then.
        patience: validations without improvement that are let pass; one more lowers the rate.
        floor: the factor is never lower.
        warmup_steps: updates until the full rate is reached.
    """

    def __init__(
        self,
        *,
        decay: float = 0.5,
        patience: int = 1,
        floor: float = 0.01,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(warmup_steps=warmup_steps)
        self.decay = decay
        self.patience = patience
        self.floor = floor
        self.reduced = 1.0
        self.without_improvement = 0

    def factor(self, step: int) -> float:
        return warm_up(step, self.warmup_steps) * self.reduced

    def validated(self, improved: bool) -> None:
        self.without_improvement = 0 if improved else self.without_improvement + 1
        if self.without_improvement > self.patience:
            self.reduced = max(self.floor, self.reduced * self.decay)
            self.without_improvement = 0

    def state_dict(self) -> dict[str, Any]:
        return {"reduced": self.reduced, "without_improvement": self.without_improvement}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reduced = state["reduced"]
        self.without_improvement = state["without_improvement"]
