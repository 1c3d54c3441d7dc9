"""Learning rates over time, as functions of the step: for `torch.optim.lr_scheduler.LambdaLR`.

Each function here gives another: what the learning rate is multiplied by for the update after `step`
others. The first updates are a warm-up, linear from 1 / warmup_steps to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]


def constant(warmup_steps: int = 0) -> Schedule:
    """The full rate throughout, from update number `warmup_steps` on."""
    return lambda step: min(1.0, (step + 1) / max(1, warmup_steps))


def cosine(total_steps: int, warmup_steps: int = 0, floor: float = 0.0) -> Schedule:
    """Half a cosine from the full rate down to a floor (Loshchilov and Hutter 2017), once.

    Args:
        total_steps: updates after which the floor is reached.
        warmup_steps: updates until the full rate is reached; the cosine begins there.
        floor: the factor at the end.

    Raises:
        ValueError: the warm-up takes all steps.
    """
    if total_steps <= warmup_steps:
        raise ValueError("total_steps must be more than warmup_steps")
    warm_up = constant(warmup_steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return warm_up(step)
        done = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return factor


def inverse_sqrt(warmup_steps: int = 4000) -> Schedule:
    """The full rate at the end of the warm-up, then falling with the root of the step
    (Vaswani et al. 2017, eq. 3, without its scale): the longer the warm-up, the slower the fall."""
    steps = max(1, warmup_steps)
    return lambda step: min(1.0, (step + 1) / steps, math.sqrt(steps / (step + 1)))
