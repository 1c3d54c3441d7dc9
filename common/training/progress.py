"""How far a training has come."""

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
        best_step: the step of the best weights.
        best_metrics: what validation gave for them.
        without_improvement: validations since then.
        averaged: of how many validations' weights the best weights are the average, once training
            has ended; 0 where they are those of `best_step`.
        finished: why training ended; empty while it goes on.
        reported: the size of `metrics.jsonl`.
    """

    epoch: int = 0
    batch: int = 0
    epoch_batches: int = 0
    step: int = 0
    seconds: float = 0.0
    validated_step: int = -1
    best_step: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    without_improvement: int = 0
    averaged: int = 0
    finished: str = ""
    reported: int = 0

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
