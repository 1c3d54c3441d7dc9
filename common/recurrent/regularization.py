"""Regularisation inside the recurrence: of the product, of its weights, and of the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from common.recurrent.cells import ALL, Cell
from common.recurrent.deferred import view_of
from common.recurrent.state import State


@dataclass(frozen=True)
class Regularization:
    """What a `Recurrent` does to each of its cells; see there.

    Args:
        recurrent_dropout: probability of dropping a feature of the state from a product with it.
        weight_dropout: probability of dropping a recurrent weight.
        zoneout: probabilities of keeping a unit of each tensor of the state as it was; a number for all
            of them.

    Raises:
        ValueError: a probability that is none.
    """

    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: float | Sequence[float] = 0.0

    def __post_init__(self) -> None:
        dropped = {
            "recurrent_dropout": self.recurrent_dropout,
            "weight_dropout": self.weight_dropout,
        }
        for name, value in [*dropped.items(), *(("zoneout", p) for p in self.zoneouts(1))]:
            if not 0 <= value < 1:
                raise ValueError(f"{name} is a probability below 1, not {value}")

    def zoneouts(self, tensors: int) -> Sequence[float]:
        """The probability for each of some tensors of a state."""
        one = isinstance(self.zoneout, int | float)
        return [self.zoneout] * tensors if one else self.zoneout  # type: ignore

    @property
    def is_none(self) -> bool:
        """Whether nothing is dropped or kept."""
        return not (self.recurrent_dropout or self.weight_dropout or any(self.zoneouts(1)))

    def check(self, cell: Cell) -> None:
        """Raise a ValueError for a cell that has nothing of what is to be dropped."""
        name = type(cell).__name__
        if self.weight_dropout and cell.weight_hh is None:
            raise ValueError(
                f"{name} has no recurrent weights: weight_dropout would change nothing"
            )
        if self.recurrent_dropout and not self._reaches(cell):
            raise ValueError(
                f"{name} does not multiply its state by `recurrent`: recurrent_dropout would change "
                "nothing"
            )
        tensors = len(cell.initial_state(1, cell.weight_ih))
        if len(self.zoneouts(tensors)) != tensors:
            raise ValueError(
                f"zoneout is a number, or one for each of the {tensors} tensors of the state of "
                f"{name}, not {self.zoneout}"
            )

    def _reaches(self, cell: Cell) -> bool:
        with torch.no_grad():
            masks = RecurrentMasks(0.0)
            zeros = cell.weight_ih.new_zeros(1, cell.input_size)
            view_of(cell, _masks=masks)(zeros, cell.initial_state(1, zeros))
            return bool(masks.drawn)

    def keeps_kernels(self, training: bool) -> bool:
        """Whether `torch.nn`'s kernels compute what is left of it."""
        return not any(self.zoneouts(1)) and not (training and self.recurrent_dropout)

    def apply(self, cell: Cell, training: bool) -> Cell:
        """A view of a cell for one pass, sharing its weights."""
        if training and self.weight_dropout:
            weight = F.dropout(cell.weight("weight_hh"), self.weight_dropout)
            cell = view_of(cell, _replaced={**cell._replaced, "weight_hh": weight})
        if training and self.recurrent_dropout:
            cell = view_of(cell, _masks=RecurrentMasks(self.recurrent_dropout))
        if any(self.zoneouts(1)):
            tensors = len(cell.initial_state(0, cell.weight_ih))
            cell = Zoneout(cell, self.zoneouts(tensors), training)
        return cell


class RecurrentMasks:
    """Variational dropout of a state before its product: masks that stay the same over time.

    Each gate has its own mask (Gal and Ghahramani 2016, eq. 7): one for all of them keeps a network
    with a large probability from converging. The masks are drawn at the first step.

    Args:
        p: the probability of dropping a feature.
    """

    def __init__(self, p: float) -> None:
        self.p = p
        self.drawn: dict[int, Tensor] = {}

    def __call__(self, gate: int, hidden: Tensor) -> Tensor:
        """The state (B, H) that a gate multiplies by its weights."""
        if gate not in self.drawn:
            self.drawn[gate] = F.dropout(torch.ones_like(hidden), self.p)
        return hidden * self.drawn[gate]


class Zoneout(Cell):
    """A cell some of whose units keep their state in a step (Krueger et al. 2017, eq. 3-5).

        s' = m * s + (1 - m) * step(s),        m drawn at every step

    In evaluation, m is its expectation.

    Args:
        cell: the cell; its weights are shared.
        probabilities: of m = 1, for each tensor of the state.
        training: whether m is drawn.
    """

    cell: Cell
    probabilities: Sequence[float]

    def __init__(self, cell: Cell, probabilities: Sequence[float], training: bool) -> None:
        torch.nn.Module.__init__(self)
        self.__dict__.update(cell=cell, probabilities=probabilities)
        self.training = training
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size

    def project(self, inputs: Tensor, columns: slice = ALL, bias: bool = True) -> Tensor:
        return self.cell.project(inputs, columns, bias)

    def step(self, projected: Tensor, state: State) -> State:
        """As of the cell, with zoneout."""
        after = self.cell.step(projected, state)
        return tuple(map(self._kept, self.probabilities, state, after))

    def _kept(self, p: float, old: Tensor, new: Tensor) -> Tensor:
        if p == 0:
            return new
        if self.training:
            return torch.where(torch.rand_like(new) < p, old.to(new.dtype), new)
        return torch.lerp(new, old.to(new.dtype), p)

    def initial_state(self, batch: int, like: Tensor) -> State:
        return self.cell.initial_state(batch, like)

    def deferred(self) -> Zoneout:
        return Zoneout(self.cell.deferred(), self.probabilities, self.training)
