"""PyTorch's own recurrent kernels (cuDNN, oneDNN) on padded batches, and their pitfalls."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from common.compute.device import is_gpu
from common.recurrent.padding import Padding
from common.recurrent.state import State

SHUT = 1e4
"""A gate input beyond which a sigmoid is exactly 0 or 1 in every float type."""


def wants_float32(kernel: nn.RNNBase, inputs: Tensor) -> bool:
    """Whether a kernel is to be kept in the type of its weights under autocast to bfloat16.

    PyTorch's rule for the kernels of cuDNN knows no other type than float16
    (ATen/cudnn/AutocastRNN.cpp), which loses the small gradients of a loss that is not scaled; they
    take bfloat16 itself only from cuDNN 9.13 and compute capability 8.0 on. And some processors have
    products in bfloat16, but no LSTM.
    """
    kind = inputs.device.type
    if not torch.is_autocast_enabled(kind) or torch.get_autocast_dtype(kind) != torch.bfloat16:
        return False
    if kind == "cpu":
        return kernel.mode == "LSTM" and not _has_bfloat16_lstm()
    return is_gpu(inputs.device)


@lru_cache(maxsize=1)
def _has_bfloat16_lstm() -> bool:
    """Whether this processor's library has an LSTM in bfloat16; nothing but a trial tells."""
    ones = torch.ones(1, 1, 1)
    weights = [torch.ones(4, 1), torch.ones(4, 1), torch.ones(4), torch.ones(4)]
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            torch.lstm(ones, (ones, ones), weights, True, 1, 0.0, True, False, False)
    except RuntimeError:
        return False
    return True


def unroll_fused(
    kernel: nn.RNNBase,
    weights: Sequence[Tensor],
    inputs: Tensor,
    state: State,
    padding: Padding,
    reverse: bool,
) -> tuple[Tensor, State]:
    """One layer in one direction, without packing.

    The kernels know no padding, but forwards they meet it last: its outputs are cleared and the
    final hidden state is looked up. Backwards, the real steps are reversed and run forwards.

    RNN_RELU is not for this function: its state has no bounds, and where it overflows in padded
    steps, 0 times infinity reaches the gradients.

    Args:
        kernel: which recurrence: LSTM, GRU or RNN_TANH.
        weights: weight_ih, weight_hh, bias_ih, bias_hh of the layer and direction.
        inputs: (T, B, I), cleared at padding.
        state: before the first step, each (B, H).
        padding: which steps are not real.
        reverse: from the last real step to the first.

    Returns:
        The outputs (T, B, H), exactly 0 at padding, and the state after the last real step.
    """
    if reverse:
        inputs = padding.reverse(inputs)
    first = tuple(part.unsqueeze(0).contiguous() for part in state)  # cuDNN refuses a view
    memory: State = ()
    if kernel.mode == "LSTM":
        inputs, weights = _hold_memory(inputs, weights, padding)
        outputs, _, last_memory = _call(torch.lstm, inputs, first, weights)
        memory = (last_memory.squeeze(0),)
    else:
        function = torch.gru if kernel.mode == "GRU" else torch.rnn_tanh
        outputs, _ = _call(function, inputs, first[0], weights)
    hidden = padding.last(outputs, state[0])
    outputs = padding.clear(outputs)
    return padding.reverse(outputs) if reverse else outputs, (hidden, *memory)


def _hold_memory(
    inputs: Tensor, weights: Sequence[Tensor], padding: Padding
) -> tuple[Tensor, list[Tensor]]:
    """Make padded steps of an LSTM keep its memory, which no output shows.

    One more input feature is 1 at padding; its weights shut the input gate and open the forget
    gate. The final memory is then that of the last real step, exactly, at the cost of one column.
    (Packing takes 1.5 to 2.5 times as long on a CPU, and stops the host where lengths live on a
    GPU.)
    """
    weight, *others = weights
    size = weight.shape[0] // 4
    column = weight.new_zeros(4 * size, 1)
    column[:size] = -SHUT
    column[size : 2 * size] = SHUT
    inputs = torch.cat([inputs, padding.mask.to(inputs.dtype)], dim=2)  # (T, B, I + 1)
    return inputs, [torch.cat([weight, column], dim=1), *others]


def _call(function, inputs: Tensor, state, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The functional form of torch.nn's module, for one layer and direction, time-major."""
    trains = torch.is_grad_enabled()
    arguments = (inputs, state, list(weights), True, 1, 0.0, trains, False, False)
    if not is_gpu(inputs.device):
        return function(*arguments)
    with warnings.catch_warnings():
        # One layer of several is no contiguous chunk of memory: cuDNN copies it, with a warning.
        warnings.filterwarnings("ignore", message=".*single contiguous chunk of memory")
        return function(*arguments)
