"""Recurrent: a cell unrolled over time, in layers and directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from common.recurrent.cells import WEIGHTS, Cell
from common.recurrent.deferred import transformed
from common.recurrent.fused import takes_packed, unroll_kernel, unroll_layer, wants_float32
from common.recurrent.padding import Lengths, Padding
from common.recurrent.rearrangement import real_steps, rearrangement
from common.recurrent.scan import scan
from common.recurrent.stacked_cells import StackedCells
from common.recurrent.state import RecurrentState, State, fit_state, map_state
from common.recurrent.watching import is_watched

AnyInputs = TypeVar("AnyInputs", Tensor, PackedSequence)


class Recurrent(StackedCells):
    """A recurrent network: a cell unrolled over time, in layers and directions.

    The standard cells, named, run on the kernels of `torch.nn` (cuDNN, oneDNN). Where `torch.nn` has
    such a network, one of its modules holds the weights, `kernel`: they are copied to torch by
    `gru.load_state_dict(recurrent.kernel.state_dict())`, and from it by
    `recurrent.load_state_dict(gru.state_dict())`. Any other cell runs on our own loop, `scan`, or, if
    it is linear, on an elementwise loop (CPU) or on an associative scan (GPU). On our loop run also
    "rnn_relu" where there is padding, in which its state could grow without bounds, and a standard
    cell with recurrent dropout or zoneout.

    Decoders run one step at a time, with the same weights: by `step`, or by `project` and
    `step_projected` where part of the input is known before the loop.

    The state is a tuple of cell states, one for each layer and direction: layers first, then
    directions, as in torch. Each is a tuple of tensors whose first dimension is B: (h,) or (h, c),
    each (B, H), for the standard cells.

    Args:
        cell: "rnn" (tanh), "rnn_relu", "lstm", "gru", or another name of `CellName`; or a function
            (input_size, hidden_size) -> Cell: a class of yours, `functools.partial(CoRNNCell, dt=0.1)`.
        input_size: I, features of an input.
        hidden_size: H, features of a hidden state; or a size for each layer.
        num_layers: L; each layer reads the outputs of the one below.
        bidirectional: read in both directions (D = 2).
        go_backwards: read from the last step to the first, in one direction.
        merge: how the outputs of both directions become one (`Stack`).
        connections: what a layer passes to the next (`Stack`).
        return_sequences: give the outputs of all steps; else that after the last step of each direction.
        dropout: probability of dropping a feature between layers, drawn anew at every step.
        input_dropout: of dropping a feature of the inputs of every layer, the same ones at all steps of
            a sequence (variational dropout; Gal and Ghahramani 2016).
        recurrent_dropout: of dropping a feature of the state where a gate multiplies it, the same ones
            at all steps.
        weight_dropout: of dropping a recurrent weight (DropConnect; Merity et al. 2018).
        zoneout: of keeping a unit of the state as it was, at every step (Krueger et al. 2017); a
            number, or one for each tensor of a cell's state, as of h and c.
        learn_initial_state: whether the state before the first step is learnt.
        initialization: as in `initialize_`; PyTorch's default if not given.
        bias: whether the standard cells have biases; another cell decides it itself.
        mode: "loop" for our loop over time, whatever the cell; "parallel" for all steps at once, of
            linear cells; by default the fastest way that there is.

    Raises:
        ValueError: an unknown name, a number out of range, or options that do not fit the cell.
    """

    def forward(
        self,
        inputs: AnyInputs,
        lengths: Lengths | None = None,
        state: RecurrentState | None = None,
        *,
        mask: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[AnyInputs, RecurrentState]:
        """Unroll over a whole batch, or over a single sequence.

        Padding reaches nothing: neither outputs nor states nor gradients, whatever values it holds.

        Args:
            inputs: (B, T, I); or (T, I), one sequence, whose outputs and states have no B either; or a
                `PackedSequence`, whose outputs are one too.
            lengths: (B,) real steps of each sequence, 0 to T, of inputs that are padded on the right;
                all are real if not given. Lengths on the CPU are checked, and are best for inputs on
                a GPU too: all layers are then one call of cuDNN. Lengths on a GPU are not checked,
                since the host would have to wait.
            state: before the first step; that of `initial_state` if not given.
            mask: (B, T), True at real steps, in the place of lengths: padding may stand anywhere. It
                leaves the state as it is.
            resets: (B, T), True where a new sequence begins: neither direction carries its state
                across the boundary before such a step. The host waits for resets on a GPU.

        Returns:
            The top layer's outputs (B, T, D H), exactly 0 at padding, or (B, D H) without
            `return_sequences`; and the state of each sequence after its last real step (with no steps
            at all: the state before the first).

        Raises:
            ValueError: shapes that do not fit, or lengths outside 0..T.
        """
        if isinstance(inputs, PackedSequence):
            padded, lengths = pad_packed_sequence(inputs, batch_first=True)
            values, state = self.forward(padded, lengths, state, resets=resets)
            if self.return_sequences:
                packed = pack_padded_sequence(values, lengths, True, enforce_sorted=False)
                return packed, state
            return cast(AnyInputs, values), state
        if inputs.dim() == 2:
            state = state and map_state(lambda part: part.unsqueeze(0), state)
            mask, resets = (None if each is None else each.unsqueeze(0) for each in (mask, resets))
            outputs, state = self.forward(
                inputs.unsqueeze(0), lengths, state, mask=mask, resets=resets
            )
            return outputs.squeeze(0), map_state(lambda part: part.squeeze(0), state)
        if inputs.dim() != 3 or inputs.shape[2] != self.input_size:
            raise ValueError(f"inputs are (B, T, {self.input_size}), not {tuple(inputs.shape)}")
        if self.kernel is not None and not isinstance(self.kernel, nn.RNNBase):
            raise TypeError(
                "dynamic quantisation is for networks of torch.nn: copy the weights to one first"
            )
        cells = self._cells()
        if self._kernel_mode is not None and wants_float32(self._kernel_mode, inputs):
            with torch.autocast(inputs.device.type, enabled=False):
                inputs = inputs.to(cells[0].weight("weight_hh").dtype)
                outputs, state = self._all_steps(cells, inputs, lengths, state, mask, resets)
        else:
            outputs, state = self._all_steps(cells, inputs, lengths, state, mask, resets)
        if not self.return_sequences:
            outputs = self.stack.merged([cell[0] for cell in state[-self.num_directions :]])
        return outputs, state

    def _all_steps(
        self,
        cells: Sequence[Cell],
        inputs: Tensor,
        lengths: Lengths | None,
        state: RecurrentState | None,
        mask: Tensor | None,
        resets: Tensor | None,
    ) -> tuple[Tensor, RecurrentState]:
        """The outputs (B, T, D H) of inputs (B, T, I), and the last state."""
        batch, steps, _ = inputs.shape
        if state is None:
            state = self.initial_state(batch, inputs)
        else:
            state = fit_state(state, self.state_shapes, batch)
        mask, lengths = real_steps(mask, lengths, inputs)
        if batch == 0 or steps == 0:
            Padding.of(lengths, batch, steps, inputs.device)  # lengths are checked
            return inputs.new_zeros(batch, steps, self.output_size), state
        if mask is None and resets is None:
            return self._unroll(cells, inputs, lengths, state)
        rows = rearrangement(mask, lengths, resets, inputs)
        ways = [self._reads_backwards(index) for index in range(len(cells))]
        firsts = rows.first(state, self.initial_state(1, inputs), ways)
        unrolled = [
            self._unroll(cells, part, its_lengths, first)
            for part, its_lengths, first in zip(
                rows.rows(inputs), rows.lengths, firsts, strict=True
            )
        ]
        outputs, lasts = zip(*unrolled, strict=True)
        return rows.back(outputs), rows.last(lasts, state, ways)

    def _unroll(
        self,
        cells: Sequence[Cell],
        inputs: Tensor,
        lengths: Lengths | None,
        state: RecurrentState,
    ) -> tuple[Tensor, RecurrentState]:
        """As `_all_steps`, of inputs that are padded on the right."""
        batch, steps, _ = inputs.shape
        padding = Padding.of(lengths, batch, steps, inputs.device)
        # Time-major and contiguous, since loops and kernels run over time.
        values = inputs.transpose(0, 1).contiguous()  # (T, B, I)
        # A kernel would fix the number of steps of an exported graph, knows no forward derivatives and
        # no `vmap`, and hides its states: there, the same equations run on our own loop.
        kernels = (
            self._kernel_mode is not None
            and self.mode is None
            and self.regularization.keeps_kernels(self.training)
            and not (torch.compiler.is_exporting() or transformed() or is_watched())
        )
        between = self.num_layers > 1 and self.training and self.input_dropout > 0
        one_call = kernels and self.kernel is not None and not (between or self.go_backwards)
        if one_call and (padding is None or takes_packed(padding)):
            assert self.kernel is not None
            # Contiguous (L D, B, H), as cuDNN needs it.
            first = tuple(torch.stack(parts).to(values.dtype) for parts in zip(*state, strict=True))
            weights = [cell.weight(name) for cell in cells for name in WEIGHTS]
            values = self._drop_inputs(0, values)
            outputs, last = unroll_kernel(self.kernel, weights, values, first, padding)
            if self.stack.merge != "concat":
                outputs = self.stack.merged(outputs.chunk(self.num_directions, dim=2))
            state = tuple(zip(*(part.unbind(0) for part in last), strict=True))
        else:
            outputs, state = self._layer_by_layer(kernels, cells, values, state, padding)
        return outputs.transpose(0, 1), state

    def _layer_by_layer(
        self,
        kernels: bool,
        cells: Sequence[Cell],
        values: Tensor,
        state: RecurrentState,
        padding: Padding | None,
    ) -> tuple[Tensor, RecurrentState]:
        """values: (T, B, I). Returns the outputs (T, B, D H) and the state after the last step."""
        mode = self._kernel_mode if kernels else None
        if mode == "RNN_RELU" and padding is not None:
            mode = None  # kernels run through padding, where its state may overflow
        output = values = values if padding is None else padding.clear(values)
        lasts: list[State] = []
        for layer in range(self.num_layers):
            read = F.dropout(values, self.dropout, self.training and layer > 0)
            read = self._drop_inputs(layer, read)
            outputs = []
            for index in range(layer * self.num_directions, (layer + 1) * self.num_directions):
                cell, first, reverse = cells[index], state[index], self._reads_backwards(index)
                if mode is not None:
                    first = tuple(part.to(values.dtype) for part in first)
                    weights = [cell.weight(name) for name in WEIGHTS]
                    output, last = unroll_layer(mode, weights, read, first, padding, reverse)
                else:
                    output, last = scan(cell, read, first, padding, reverse, self.mode)
                outputs.append(output)
                lasts.append(last)
            output, values = self.stack.connect(layer, values, self.stack.merged(outputs))
        return output, tuple(lasts)

    def _reads_backwards(self, index: int) -> bool:
        """Whether a layer and direction reads from the last step to the first."""
        return self.go_backwards or index % self.num_directions == 1
