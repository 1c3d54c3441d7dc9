"""The moving average of the weights of a training, often better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


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
