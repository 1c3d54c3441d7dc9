"""One time step of a recurrent network: the contract of every cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.recurrent.deferred import DeferredLinear, added, view_of
from common.recurrent.state import State

ALL = slice(None)

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The parameters that cells share, as torch names and orders them; one that a cell lacks is None."""


class Cell(nn.Module):
    """One step of a recurrent network; a subclass defines how the gates make the next state.

    A step has two parts: `project` depends on the input alone, so that one product serves all time
    steps; `step` is the rest. A subclass sets the class attributes and defines `step`. There it
    multiplies by W_hh through `recurrent` only, so that a loop can defer the weight gradient (see
    `deferred`) and drop features of the state.

    The state is a tuple of tensors whose first dimension is B. The first is the output (B, H); the
    others may have any shape, such as a memory (B, H, H): then the subclass defines `initial_state`.

    The parameters are laid out as in `torch.nn`: weight_ih (P, I), weight_hh (P, H), bias_ih (P,),
    bias_hh (P,), with P = gates x H rows, one block of H rows for each gate. A cell with another
    recurrent weight, or none, defines `recurrent_shape`. By a vector of weights it multiplies through
    `scaled`.

    Args:
        input_size: I, features of x.
        hidden_size: H, features of h.
        bias: whether there are bias_ih and bias_hh; without, they are None.
    """

    gates: ClassVar[int] = 1
    """How many blocks of H rows the weights have."""
    state_size: ClassVar[int] = 1
    """How many tensors (B, H) a state consists of, where `initial_state` is not overridden."""
    forget_gate: ClassVar[int | None] = None
    """The block of the forget gate, if any: a large bias keeps the memory."""
    memory_gates: ClassVar[Mapping[int, int]] = {}
    """The blocks whose bias decides how long a memory lasts: 1 where a large one keeps it, -1 where a
    large one replaces it."""

    joint_bias: bool = False
    """Whether bias_hh is only ever added to what `project` returns, and has its shape: then `project`
    adds both biases, once for all steps, and `recurrent` none."""

    weight_hh: nn.Parameter | None
    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise ValueError(f"sizes are at least 1, not {input_size} and {hidden_size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        shape = self.recurrent_shape()
        shapes = {
            "weight_hh": shape,
            "bias_ih": (rows,) if bias else None,
            "bias_hh": shape[:1] if bias and shape else None,
        }
        for name, sizes in shapes.items():
            parameter = None if sizes is None else nn.Parameter(torch.empty(sizes))
            self.register_parameter(name, parameter)
        # Of a view for one pass over time; see `deferred` and `Regularization`.
        self._products: dict[tuple, Callable[..., Tensor]] | None = None
        self._masks: Callable[[int, Tensor], Tensor] | None = None
        self._replaced: dict[str, Tensor] = {}
        self.reset_parameters()

    def recurrent_shape(self) -> tuple[int, ...] | None:
        """The shape of weight_hh: (P, H).

        A subclass may return another: (H,) is the diagonal of W_hh, (P, 2 H) multiplies two tensors
        side by side. None is no recurrent weight, and no bias_hh.
        """
        return self.gates * self.hidden_size, self.hidden_size

    def reset_parameters(self) -> None:
        """PyTorch's default: uniform in +-1/sqrt(H), biases too."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name in WEIGHTS:
            if (weight := getattr(self, name)) is not None:
                nn.init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"

    def project(self, inputs: Tensor, columns: slice = ALL, bias: bool = True) -> Tensor:
        """The part of the gates that depends on the input alone.

        It is affine, so parts of an input may be projected at different times and added up: a
        decoder projects all words before its loop and adds the context's part in every step.

        Args:
            inputs: (..., I'), the input, or some of its features.
            columns: which features `inputs` holds.
            bias: whether to add the bias, which belongs to one part only.

        Returns:
            (..., P).
        """
        return self._multiply("ih", inputs, ALL, columns, bias)

    def recurrent(
        self, hidden: Tensor, rows: slice = ALL, bias: bool = True, onto: Tensor | None = None
    ) -> Tensor:
        """The recurrent product W_hh h + b_hh, without the bias where that is joint.

        Args:
            hidden: (B, H).
            rows: the rows of W_hh to use.
            bias: whether to add bias_hh.
            onto: (B, P) what to add the product to, which takes less time than adding it up later.

        Returns:
            (B, P), or as many columns as there are rows.
        """
        if self._masks is None:
            return self.recurrent_product(hidden, rows, bias, onto)
        size = self.hidden_size
        first, end, _ = rows.indices(self.gates * size)
        products = [
            self.recurrent_product(
                self._masks(gate, hidden), slice(gate * size, gate * size + size), bias
            )
            for gate in range(first // size, end // size)
        ]
        return added(onto, torch.cat(products, dim=1))

    def recurrent_product(
        self, hidden: Tensor, rows: slice, bias: bool, onto: Tensor | None = None
    ) -> Tensor:
        """What `recurrent` computes where nothing is dropped; for a cell with another product."""
        return self._multiply("hh", hidden, rows, ALL, bias, onto)

    def scaled(self, name: str, hidden: Tensor, rows: slice = ALL) -> Tensor:
        """The product of a vector of weights with each row, diag(w) h.

        Args:
            name: of the parameter w.
            hidden: (B, H).
            rows: the H elements of w to use.

        Returns:
            (B, H).
        """
        if self._products is None:
            return self.weight(name)[rows] * hidden
        key = (name, rows.start, rows.stop, len(hidden))
        if key not in self._products:
            # Expanded once: the gradient is summed over the batch after all steps, not in each.
            self._products[key] = self.weight(name)[rows].expand_as(hidden).mul
        return self._products[key](hidden)

    def step(self, projected: Tensor, state: State) -> State:
        """The next state.

        Args:
            projected: (B, P) from `project`.
            state: of the step before.
        """
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: State) -> State:
        """One whole step. inputs: (B, I). Returns the next state."""
        return self.step(self.project(inputs), state)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The state before the first step: zeros, unless a subclass overrides this.

        Args:
            batch: B.
            like: a tensor of the dtype and on the device that the state is to have.

        Returns:
            A tuple of tensors whose first dimension is B; the first is (B, H).
        """
        zeros = like.new_zeros(batch, self.hidden_size)
        return (zeros,) * self.state_size

    def deferred(self) -> Self:
        """A view of this cell for one loop over time, sharing its parameters.

        The gradients of its weights, and of the biases added with them, are each computed as one
        product after all steps ran backward, instead of one per step. Make a new view for every
        pass.
        """
        view = view_of(self)
        view._products = {}
        return view

    def weight(self, name: str) -> Any:
        """A parameter, or what stands in its place in this view."""
        replaced = self._replaced.get(name)
        return getattr(self, name) if replaced is None else replaced

    def _multiply(
        self,
        which: Literal["ih", "hh"],
        inputs: Tensor,
        rows: slice,
        columns: slice,
        bias: bool,
        onto: Tensor | None = None,
    ) -> Tensor:
        if self._products is None:
            return added(onto, F.linear(inputs, *self._part(which, rows, columns, bias)))
        key = (which, rows.start, rows.stop, columns.start, columns.stop, bias)
        if key not in self._products:
            self._products[key] = DeferredLinear(*self._part(which, rows, columns, bias))
        return self._products[key](inputs, onto)

    def _part(
        self, which: Literal["ih", "hh"], rows: slice, columns: slice, bias: bool
    ) -> tuple[Tensor, Tensor | None]:
        weight = self.weight(f"weight_{which}")
        assert weight is not None, "a cell without recurrent weights has no recurrent product"
        b: Tensor | None = None
        if bias and self.joint_bias and self.bias_ih is not None and self.bias_hh is not None:
            b = self.bias_ih + self.bias_hh if which == "ih" else None
        elif bias:
            b = self.bias_ih if which == "ih" else self.bias_hh
        if rows != ALL:
            return weight[rows], None if b is None else b[rows]
        # A slice of all columns is no leaf, and autocast caches its casts of leaves only.
        return weight if columns == ALL else weight[:, columns], b


def mixed(new: Tensor, old: Tensor, keep: Tensor) -> Tensor:
    """(1 - keep) * new + keep * old in one pass, in the type of `new`.

    Autocast does not cast the arguments of `torch.lerp` to one type.
    """
    return torch.lerp(new, old.to(new.dtype), keep.to(new.dtype))


CellFactory = Callable[[int, int], Cell]
"""(input_size, hidden_size) -> Cell: a cell's class, or a `functools.partial` of it."""


def make_cell(cell: CellFactory, input_size: int, hidden_size: int) -> Cell:
    """The cell that a factory makes.

    Raises:
        ValueError: it is not a Cell, or not one of these sizes.
    """
    made = cast(object, cell(input_size, hidden_size))
    if not isinstance(made, Cell):
        raise ValueError(f"cell makes a {type(made).__name__}, not a Cell")
    if (made.input_size, made.hidden_size) != (input_size, hidden_size):
        raise ValueError(
            f"cell was called with the sizes {input_size}, {hidden_size} "
            f"and made {made.input_size}, {made.hidden_size}"
        )
    return made
