"""Recurrent: a cell unrolled over time, in layers and directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from common.recurrent.cells import ALL, WEIGHTS, Cell, CellFactory, make_cell
from common.recurrent.deferred import transformed, view_of
from common.recurrent.fused import (
    STANDARD,
    takes_packed,
    unroll_kernel,
    unroll_layer,
    wants_float32,
)
from common.recurrent.initialization import Initialization, initialize_
from common.recurrent.names import StandardCell
from common.recurrent.padding import Lengths, Padding
from common.recurrent.scan import scan
from common.recurrent.state import RecurrentState, State, map_state

AnyInputs = TypeVar("AnyInputs", Tensor, PackedSequence)


class Recurrent(nn.Module):
    """A recurrent network: a cell unrolled over time, in layers and directions.

    The standard cells, named, run on `torch.nn.RNN`, `LSTM` or `GRU` (cuDNN, oneDNN), which also
    holds their weights: that module is `kernel`. Weights are copied to torch by
    `gru.load_state_dict(recurrent.kernel.state_dict())`, and from it by
    `recurrent.load_state_dict(gru.state_dict())`. Any other cell runs on our own loop, `scan`; so does
    "rnn_relu" where there is padding, in which its state could grow without bounds.

    Decoders run one step at a time, with the same weights: by `step`, or by `project` and
    `step_projected` where part of the input is known before the loop.

    The state is a tuple of cell states, one for each layer and direction: layers first, then
    directions, as in torch. Each is a tuple of tensors whose first dimension is B: (h,) or (h, c),
    each (B, H), for the standard cells.

    Args:
        cell: "rnn" (tanh), "rnn_relu", "lstm", "gru"; or a function (input_size, hidden_size) ->
            Cell: `LayerNormLSTMCell`, `functools.partial(GRUCell, reset_after=False)`.
        input_size: I, features of an input.
        hidden_size: H, features of a hidden state.
        num_layers: L; each layer reads the outputs of the one below.
        bidirectional: read in both directions (D = 2) and concatenate their outputs.
        dropout: probability of dropping a feature between layers, drawn anew at every step.
        initialization: as in `initialize_`; PyTorch's default if not given.
        bias: whether the standard cells have biases; another cell decides it itself.

    Raises:
        ValueError: an unknown cell or initialization, or a number out of range.
    """

    def __init__(
        self,
        cell: StandardCell | CellFactory,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        initialization: Initialization | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers is at least 1, not {num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is a probability, not {dropout}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.num_directions = 2 if bidirectional else 1
        self.output_size = self.num_directions * hidden_size
        self.dropout = dropout

        # For every layer and direction: torch's suffix of its weights, and its input features.
        directions = ("", "_reverse")[: self.num_directions]
        self._suffixes = [f"l{i}{way}" for i in range(num_layers) for way in directions]
        widths = [input_size] * len(directions)
        widths += [self.output_size] * (len(self._suffixes) - len(directions))
        self.kernel: nn.RNNBase | None = None
        self._views: Sequence[Cell] | None = None
        if isinstance(cell, str):
            if cell not in STANDARD:
                raise ValueError(
                    f"cell is one of {', '.join(STANDARD)}, or makes a Cell of (input_size, "
                    f"hidden_size); not {cell!r}"
                )
            kernel, make = STANDARD[cell]
            options = {
                "bidirectional": bidirectional,
                "bias": bias,
                "dropout": dropout if num_layers > 1 else 0.0,
            }
            self.kernel = kernel(input_size, hidden_size, num_layers, **options)
            # Cells for single steps: the kernel's weights, our equations.
            with torch.device("meta"):
                self._kernel_cells = tuple(make(width, hidden_size) for width in widths)
        else:
            cells = [make_cell(cell, width, hidden_size) for width in widths]
            self.cells = nn.ModuleDict(dict(zip(self._suffixes, cells, strict=True)))
        first = self.initial_state(1, next(self.parameters()).detach())
        self.state_shapes = tuple(tuple(part.shape[1:] for part in state) for state in first)
        """For each layer and direction, the shapes of the tensors of its state, without B."""
        self.register_load_state_dict_pre_hook(_accept_torch_names)
        if initialization is not None:
            initialize_(self, initialization)

    def extra_repr(self) -> str:
        return "" if self.kernel is not None else f"dropout={self.dropout}"

    # -- all steps at once -------------------------------------------------------------------------

    def forward(
        self, inputs: AnyInputs, lengths: Lengths | None = None, state: RecurrentState | None = None
    ) -> tuple[AnyInputs, RecurrentState]:
        """Unroll over a whole batch, or over a single sequence.

        Padding reaches nothing: neither outputs nor states nor gradients, whatever values it holds.

        Args:
            inputs: (B, T, I), padded on the right; or (T, I), one sequence, whose outputs and states
                have no B either; or a `PackedSequence`, whose outputs are one too.
            lengths: (B,) real steps of each sequence, 0 to T; all are real if not given. Lengths on
                the CPU are checked, and are best for inputs on a GPU too: all layers are then one
                call of cuDNN. Lengths on a GPU are not checked, since the host would have to wait.
            state: before the first step; that of `initial_state` if not given.

        Returns:
            The top layer's outputs (B, T, D H), exactly 0 at padding, and the state of each
            sequence after its last real step (with no steps at all: the state before the first).

        Raises:
            ValueError: shapes that do not fit, or lengths outside 0..T.
        """
        if isinstance(inputs, PackedSequence):
            padded, lengths = pad_packed_sequence(inputs, batch_first=True)
            outputs, state = self.forward(padded, lengths, state)
            return pack_padded_sequence(outputs, lengths, True, enforce_sorted=False), state
        if inputs.dim() == 2:
            state = state and map_state(lambda part: part.unsqueeze(0), state)
            outputs, state = self.forward(inputs.unsqueeze(0), lengths, state)
            return outputs.squeeze(0), map_state(lambda part: part.squeeze(0), state)
        if inputs.dim() != 3 or inputs.shape[2] != self.input_size:
            raise ValueError(f"inputs are (B, T, {self.input_size}), not {tuple(inputs.shape)}")
        if self.kernel is not None and not isinstance(self.kernel, nn.RNNBase):
            raise TypeError(
                "dynamic quantisation is for networks of torch.nn: copy the weights to one first"
            )
        if self.kernel is not None and wants_float32(self.kernel, inputs):
            with torch.autocast(inputs.device.type, enabled=False):
                return self.forward(
                    inputs.to(cast(Tensor, self.kernel.weight_hh_l0).dtype), lengths, state
                )
        cells = self._cells()
        batch, steps, _ = inputs.shape
        if state is None:
            state = tuple(cell.initial_state(batch, inputs) for cell in cells)
        else:
            state = self._fit(state, batch)
        padding = Padding.of(lengths, batch, steps, inputs.device)
        # Time-major and contiguous, since loops and kernels run over time.
        values = inputs.transpose(0, 1).contiguous()  # (T, B, I)
        if batch == 0 or steps == 0:
            return values.new_zeros(batch, steps, self.output_size), state
        # A kernel would fix the number of steps of an exported graph, and knows no forward
        # derivatives and no `vmap`: there, the same equations run on our own loop.
        plain = torch.compiler.is_exporting() or transformed()
        if self.kernel is not None and not plain and (padding is None or takes_packed(padding)):
            # Contiguous (L D, B, H), as cuDNN needs it.
            first = tuple(torch.stack(parts).to(values.dtype) for parts in zip(*state, strict=True))
            weights = [getattr(cell, name) for cell in cells for name in WEIGHTS]
            outputs, last = unroll_kernel(self.kernel, weights, values, first, padding)
            state = tuple(zip(*(part.unbind(0) for part in last), strict=True))
        else:
            # A kernel also runs through padding, where a ReLU's state may overflow: scan does not.
            bounded = self.kernel is not None and self.kernel.mode != "RNN_RELU"
            kernel = self.kernel if bounded and not plain else None
            outputs, state = self._layer_by_layer(kernel, cells, values, state, padding)
        return outputs.transpose(0, 1), state

    def _layer_by_layer(
        self,
        kernel: nn.RNNBase | None,
        cells: Sequence[Cell],
        inputs: Tensor,
        state: RecurrentState,
        padding: Padding | None,
    ) -> tuple[Tensor, RecurrentState]:
        """inputs: (T, B, I). Returns (T, B, D H) and the state after the last step."""
        values = inputs if padding is None else padding.clear(inputs)
        lasts: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.num_directions):
                index = layer * self.num_directions + direction
                cell, first = cells[index], state[index]
                reverse = direction == 1
                if kernel is not None and padding is not None:
                    first = tuple(part.to(values.dtype) for part in first)
                    weights = [getattr(cell, name) for name in WEIGHTS]
                    output, last = unroll_layer(kernel, weights, values, first, padding, reverse)
                else:
                    output, last = scan(cell, values, first, padding=padding, reverse=reverse)
                outputs.append(output)
                lasts.append(last)
            values = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
            if layer + 1 < self.num_layers:
                values = F.dropout(values, self.dropout, self.training)
        return values, tuple(lasts)

    # -- one step at a time ------------------------------------------------------------------------

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
        return self.step_projected(self.project(inputs), state)

    def project(self, inputs: Tensor, columns: slice = ALL, bias: bool = True) -> Tensor:
        """The input product (..., P) of the first layer, or of some features of its input.

        The arguments are those of `Cell.project`.
        """
        return self._cells()[0].project(inputs, columns, bias)

    def step_projected(
        self, projected: Tensor, state: RecurrentState
    ) -> tuple[Tensor, RecurrentState]:
        """As `step`, with the first layer's input product (B, P) already computed by `project`."""
        if self.num_directions == 2:
            raise ValueError("a bidirectional network has no single step: it needs the future")
        news: list[State] = []
        for cell, old in zip(self._cells(), state, strict=True):
            if news:
                output = F.dropout(news[-1][0], self.dropout, self.training)
                projected = cell.project(output)
            news.append(cell.step(projected, old))
        return news[-1][0], tuple(news)

    def deferred(self) -> Self:
        """A view for one hand-written loop over time, sharing the weights.

        The weight gradients of its `step`, `project` and `step_projected` are each computed as one
        product after all steps ran backward. Make a new view for every pass; a call before the loop
        gains nothing from it.
        """
        view = view_of(self)
        view._views = [cell.deferred() for cell in self._cells()]
        return view

    def initial_state(self, batch: int, like: Tensor) -> RecurrentState:
        """The state before the first step, as each cell makes it (`Cell.initial_state`)."""
        return tuple(cell.initial_state(batch, like) for cell in self._cells())

    # -- shared ------------------------------------------------------------------------------------

    def _cells(self) -> Sequence[Cell]:
        """The cell of every layer and direction."""
        if self._views is not None:
            return self._views
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

    def _fit(self, state: RecurrentState, batch: int) -> RecurrentState:
        """The state; a ValueError if it is not one of this network."""
        wanted = [[(batch, *shape) for shape in shapes] for shapes in self.state_shapes]
        found = [
            [tuple(part.shape) for part in cell]
            if isinstance(cell, tuple | list)
            else tuple(cell.shape)
            for cell in state
        ]
        if found != wanted:
            raise ValueError(
                f"the state is a tuple of {len(wanted)} cell states (layers first, then "
                f"directions) of the shapes {wanted}, not of {found}"
            )
        return state


def _accept_torch_names(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object
) -> None:
    """Let a state dict of torch.nn load: rename weight_ih_l0 to the name that `Recurrent` has."""
    assert isinstance(module, Recurrent)
    for suffix in module._suffixes:
        for name in WEIGHTS:
            theirs = f"{name}_{suffix}"
            ours = f"kernel.{theirs}" if module.kernel is not None else f"cells.{suffix}.{name}"
            if prefix + theirs in state_dict:
                state_dict[prefix + ours] = state_dict.pop(prefix + theirs)
