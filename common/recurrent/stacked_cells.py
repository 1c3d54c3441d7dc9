"""The cells of all layers and directions, with their weights, and one time step of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.recurrent.cells import ALL, NAMED, WEIGHTS, Cell, CellFactory, LinearCell, make_cell
from common.recurrent.deferred import view_of
from common.recurrent.fused import STANDARD
from common.recurrent.initialization import Initialization, initialize_
from common.recurrent.names import CellName, Connections, Merge, Mode
from common.recurrent.regularization import Regularization
from common.recurrent.stack import Stack
from common.recurrent.state import RecurrentState, map_state, state_tensors
from common.recurrent.watching import watched


class StackedCells(nn.Module):
    """The cells of a recurrent network, and one step of all layers: what `Recurrent` unrolls.

    The arguments are those of `Recurrent`.
    """

    def __init__(
        self,
        cell: CellName | CellFactory,
        input_size: int,
        hidden_size: int | Sequence[int],
        *,
        num_layers: int | None = None,
        bidirectional: bool = False,
        go_backwards: bool = False,
        merge: Merge = "concat",
        connections: Connections = "plain",
        return_sequences: bool = True,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        learn_initial_state: bool = False,
        initialization: Initialization | None = None,
        bias: bool = True,
        mode: Mode | None = None,
    ) -> None:
        super().__init__()
        for name, p in (("dropout", dropout), ("input_dropout", input_dropout)):
            if not 0 <= p <= 1:
                raise ValueError(f"{name} is a probability, not {p}")
        sizes = _sizes(hidden_size, num_layers)
        if go_backwards and bidirectional:
            raise ValueError("a bidirectional network reads in both directions: no go_backwards")
        if connections == "residual" and len(sizes) > 1 and not return_sequences:
            raise ValueError("with residual connections, the last output is not in the state")
        self.stack = Stack(input_size, sizes, 2 if bidirectional else 1, merge, connections)
        self.input_size = input_size
        self.hidden_size = sizes[-1]
        self.num_layers = len(sizes)
        self.num_directions = self.stack.num_directions
        self.output_size = self.stack.output_sizes[-1]
        self.go_backwards = go_backwards
        self.return_sequences = return_sequences
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.mode = mode
        self.regularization = Regularization(recurrent_dropout, weight_dropout, zoneout)
        # Of a view for one loop; see `deferred`.
        self._views: Sequence[Cell] | None = None
        self._input_masks: dict[int, Tensor] | None = None
        self._make_cells(cell, bias)
        cells = self._weights()
        for each in cells:
            self.regularization.check(each)
            if mode == "parallel" and not isinstance(each, LinearCell):
                raise ValueError(f"{type(each).__name__} is not linear: it has no parallel mode")
        first = tuple(each.initial_state(1, next(self.parameters()).detach()) for each in cells)
        self.state_shapes = tuple(tuple(part.shape[1:] for part in state) for state in first)
        """For each layer and direction, the shapes of the tensors of its state, without B."""
        self.first_state: nn.ParameterList | None = None
        """What is learnt of the state before the first step: its tensors, in order, each (1, ...)."""
        if learn_initial_state:
            self.first_state = nn.ParameterList(part.clone() for part in state_tensors(first))
        self.register_load_state_dict_pre_hook(_accept_torch_names)
        if initialization is not None:
            initialize_(self, initialization)

    def _make_cells(self, cell: CellName | CellFactory, bias: bool) -> None:
        """Make the weights: a kernel of torch.nn, or cells."""
        stack = self.stack
        # For every layer and direction: torch's suffix of its weights, and its sizes.
        ways = ("", "_reverse")[: stack.num_directions]
        self._suffixes = [f"l{i}{way}" for i in range(self.num_layers) for way in ways]
        both = zip(stack.input_sizes, stack.hidden_sizes, strict=True)
        sizes = [pair for pair in both for _ in ways]
        self.kernel: nn.RNNBase | None = None
        self._kernel_mode: str | None = None
        factory = NAMED.get(cell) if isinstance(cell, str) else cell
        if factory is not None:
            made = [make_cell(factory, *pair) for pair in sizes]
        elif cell not in STANDARD:
            raise ValueError(
                f"cell is one of {', '.join(get_args(CellName))}, or makes a Cell of (input_size, "
                f"hidden_size); not {cell!r}"
            )
        else:
            kernel, self._kernel_mode, make = STANDARD[cell]
            if stack.is_plain:
                self.kernel = kernel(
                    stack.input_size, self.hidden_size, self.num_layers, bias=bias,
                    bidirectional=stack.num_directions == 2,
                    dropout=self.dropout if self.num_layers > 1 else 0.0,
                )  # fmt: skip
                # Cells for single steps: the kernel's weights, our equations.
                with torch.device("meta"):
                    self._kernel_cells = tuple(make(*pair) for pair in sizes)
                return
            made = [make(*pair, bias=bias) for pair in sizes]
        self.cells = nn.ModuleDict(dict(zip(self._suffixes, made, strict=True)))

    def extra_repr(self) -> str:
        return "" if self.kernel is not None else f"dropout={self.dropout}"

    def step(self, inputs: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """One time step of all layers, for loops whose next input depends on the last output.

        Args:
            inputs: (B, I).
            state: of `initial_state` or of the step before.

        Returns:
            The top layer's output (B, H) and the next state.

        Raises:
            ValueError: the network is bidirectional.
        """
        return self._step(self.project(self._drop_inputs(0, inputs)), state, inputs)

    def project(self, inputs: Tensor, columns: slice = ALL, bias: bool = True) -> Tensor:
        """The input product (..., P) of the first layer, or of some features of its input.

        The arguments are those of `Cell.project`. Nothing is dropped.
        """
        return self._cells()[0].project(inputs, columns, bias)

    def step_projected(
        self, projected: Tensor, state: RecurrentState
    ) -> tuple[Tensor, RecurrentState]:
        """As `step`, with the first layer's input product (B, P) already computed by `project`."""
        if self.stack.connections == "dense":
            raise ValueError("with dense connections, upper layers read the input too: call `step`")
        return self._step(projected, state, projected)

    def _step(
        self, projected: Tensor, state: RecurrentState, inputs: Tensor
    ) -> tuple[Tensor, RecurrentState]:
        if self.num_directions == 2:
            raise ValueError("a bidirectional network has no single step: it needs the future")
        output, news = inputs, []
        for layer, (cell, old) in enumerate(zip(self._cells(), state, strict=True)):
            if layer > 0:
                read = F.dropout(inputs, self.dropout, self.training)
                projected = cell.project(self._drop_inputs(layer, read))
            news.append(watched(cell, cell.step(projected, old)))
            output, inputs = self.stack.connect(layer, inputs, news[-1][0])
        return output, tuple(news)

    def deferred(self) -> Self:
        """A view for one hand-written loop over time, sharing the weights.

        The weight gradients of its `step`, `project` and `step_projected` are each computed as one
        product after all steps ran backward; what is dropped for all steps alike stays the same.
        Make a new view for every pass; a call before the loop gains nothing from it.
        """
        view = view_of(self, _input_masks={})
        view._views = [cell.deferred() for cell in self._cells()]
        return view

    def initial_state(self, batch: int, like: Tensor) -> RecurrentState:
        """The state before the first step: the learnt one, or as `Cell.initial_state` makes it."""
        cells: Any = self._kernel_cells if self.kernel is not None else self.cells.values()
        state = tuple(cell.initial_state(batch, like) for cell in cells)
        if self.first_state is None:
            return state
        learnt = iter(self.first_state)
        return map_state(lambda part: next(learnt).to(part.dtype).expand_as(part), state)

    def reset(self, state: RecurrentState, rows: Tensor) -> RecurrentState:
        """The state with that before the first step in some rows.

        Args:
            state: each tensor (B, ...).
            rows: (B,) True where a new sequence begins.
        """
        batch, like = len(rows), next(state_tensors(state))
        fresh = state_tensors(self.initial_state(batch, like))

        def choose(old: Tensor) -> Tensor:
            return torch.where(
                rows.view(-1, *[1] * (old.dim() - 1)), next(fresh).to(old.dtype), old
            )

        return map_state(choose, state)

    def _drop_inputs(self, layer: int, values: Tensor) -> Tensor:
        """The inputs (..., B, F) of a layer with features dropped, the same ones at all steps."""
        if not (self.training and self.input_dropout):
            return values
        masks = {} if self._input_masks is None else self._input_masks
        if layer not in masks:
            masks[layer] = F.dropout(values.new_ones(values.shape[-2:]), self.input_dropout)
        return values * masks[layer]

    def _cells(self) -> Sequence[Cell]:
        """The cell of every layer and direction, for one pass."""
        if self._views is not None:
            return self._views
        cells = self._weights()
        if not self.regularization.is_none:
            cells = [self.regularization.apply(cell, self.training) for cell in cells]
        return cells

    def _weights(self) -> Sequence[Cell]:
        """The cell of every layer and direction, with its weights as they are."""
        for module in (self.kernel,) if self.kernel is not None else self.cells.values():
            # Nobody calls it: what pruning does before a call is done here.
            for hook in module._forward_pre_hooks.values():
                hook(module, ())
        if self.kernel is None:
            return list(self.cells.values())  # type: ignore[arg-type]
        # Read anew each time, and as attributes: `functional_call`, a parametrisation, pruning or
        # `DataParallel` may have replaced the kernel's parameters.
        views = []
        for cell, suffix in zip(self._kernel_cells, self._suffixes, strict=True):
            weights = {each: getattr(self.kernel, f"{each}_{suffix}", None) for each in WEIGHTS}
            views.append(view_of(cell, _parameters={}, **weights))
        return views


def _sizes(hidden_size: int | Sequence[int], num_layers: int | None) -> tuple[int, ...]:
    """The size of each layer."""
    if num_layers is not None and num_layers < 1:
        raise ValueError(f"num_layers is at least 1, not {num_layers}")
    if isinstance(hidden_size, int):
        return (hidden_size,) * (num_layers or 1)
    if len(hidden_size) != (num_layers or len(hidden_size)) or not hidden_size:
        raise ValueError(f"{list(hidden_size)} are no sizes of {num_layers} layers")
    return tuple(hidden_size)


def _accept_torch_names(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object
) -> None:
    """Let a state dict of torch.nn load: rename weight_ih_l0 to the name that `Recurrent` has."""
    assert isinstance(module, StackedCells)
    for suffix in module._suffixes:
        for name in WEIGHTS:
            theirs = f"{name}_{suffix}"
            ours = f"kernel.{theirs}" if module.kernel is not None else f"cells.{suffix}.{name}"
            if prefix + theirs in state_dict:
                state_dict[prefix + ours] = state_dict.pop(prefix + theirs)
