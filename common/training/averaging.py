"""Averages of weights, often better than the weights themselves: over the updates of a training
(`WeightAverage`), over its best validations (`BestFew`), or of any models alike (`average_weights`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from common.compute.device import to_host
from common.runs.weights import load_state_dict, read_weights, save_weights

if TYPE_CHECKING:
    from common.runs.run import Run


@torch.no_grad()
def average_weights(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the weights of several models of one architecture, each counting the same.

    It is of use for models that are near each other: of one training, or trained further from one
    start (Junczys-Dowmunt et al. 2016; "model soups", Wortsman et al. 2022). Of trainings that
    began apart, use an ensemble instead.

    Args:
        states: state dicts, looked at one after the other: a generator may read them from files.

    Returns:
        A state dict on the CPU. Sums are in float64, the mean in the type of the last state; what is
        no floating-point number (a counter, a mask) is that of the last.

    Raises:
        ValueError: no state, or states of different names or shapes.
    """
    sums: dict[str, Tensor] = {}
    last: dict[str, Tensor] = {}
    count = 0
    for count, state in enumerate(states, start=1):
        before, last = last, to_host(dict(state))
        _check_alike(before or last, last, count)
        for name, tensor in last.items():
            if tensor.is_floating_point() or tensor.is_complex():
                wide = tensor.to(torch.promote_types(tensor.dtype, torch.float64))
                sums[name] = sums[name].add_(wide) if name in sums else wide.clone()
    if not count:
        raise ValueError("there are no weights to average")
    return {
        name: (sums[name] / count).to(tensor.dtype) if name in sums else tensor.clone()
        for name, tensor in last.items()
    }


def _check_alike(one: dict[str, Tensor], other: dict[str, Tensor], number: int) -> None:
    for name in sorted(one.keys() | other.keys()):
        shapes = [tuple(s[name].shape) if name in s else "missing" for s in (one, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"weights of different architectures: {name} is {shapes[0]} in number "
                f"{number - 1} and {shapes[1]} in number {number}"
            )


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


class BestFew:
    """The weights of the best few validations, to be averaged when training ends.

    In a run they are files, best-<step>.safetensors; without one they are kept in memory. A run
    that was killed has all files that its last state speaks of: see `tidy`.

    Args:
        run: the folder.
        count: how many are kept.
        mode: whether "max" or "min" of the monitored metric is best.
    """

    def __init__(self, run: Run | None, count: int, mode: Literal["max", "min"]) -> None:
        if count < 2:
            raise ValueError(f"an average needs at least 2 validations, not {count}")
        self.run = run
        self.count = count
        self.mode = mode
        self.kept: list[tuple[int, float]] = []  # (step, value), best first, of equals the earlier
        self._weights: dict[int, dict[str, Tensor]] = {}  # by step, where there is no run

    def __len__(self) -> int:
        return len(self.kept)

    def take(self, step: int, value: float) -> bool:
        """Is the validation after `step` updates among the best few? Then `keep` must follow."""
        if math.isnan(value):
            return False
        sign = 1 if self.mode == "min" else -1
        found = [*self.kept, (step, value)]
        self.kept = sorted(found, key=lambda pair: (sign * pair[1], pair[0]))[: self.count]
        return (step, value) in self.kept

    def keep(self, model: nn.Module, step: int) -> None:
        """Keep the present weights of `model`, which were validated after `step` updates."""
        if self.run is not None:
            save_weights(self._file(step), model.state_dict())
        else:
            self._weights[step] = copy.deepcopy(to_host(model.state_dict()))
            self.tidy()

    def tidy(self) -> None:
        """Delete what is no longer among the best few; not before a state that says so is saved,
        since a killed run goes on from the state before."""
        steps = [step for step, _ in self.kept]
        self._weights = {step: self._weights[step] for step in self._weights if step in steps}
        if self.run is not None:
            for path in set(self.run.path.glob("best-*.safetensors")) - set(map(self._file, steps)):
                path.unlink()

    def load_average(self, model: nn.Module) -> None:
        """Put the average of the weights that were kept into `model`."""
        load_state_dict(model, average_weights(self._read(step) for step, _ in self.kept))

    def load_best(self, model: nn.Module) -> None:
        """Put the best of the weights that were kept into `model`."""
        load_state_dict(model, self._read(self.kept[0][0]))

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept = [tuple(pair) for pair in state["kept"]]

    def _read(self, step: int) -> dict[str, Tensor]:
        return self._weights[step] if self.run is None else read_weights(self._file(step))

    def _file(self, step: int) -> Path:
        assert self.run is not None
        return self.run.path / f"best-{step:08d}.safetensors"
