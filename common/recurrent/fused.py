"""PyTorch's own recurrent kernels (cuDNN, oneDNN), on padded batches too, and their pitfalls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from common.compute.device import is_gpu, upload
from common.recurrent.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell
from common.recurrent.names import StandardCell
from common.recurrent.padding import Padding
from common.recurrent.state import State

STANDARD: dict[StandardCell, tuple[Callable[..., nn.RNNBase], str, Callable[..., Cell]]] = {
    "rnn": (nn.RNN, "RNN_TANH", SimpleRNNCell),
    "rnn_relu": (
        partial(nn.RNN, nonlinearity="relu"),
        "RNN_RELU",
        partial(SimpleRNNCell, nonlinearity="relu"),
    ),
    "lstm": (nn.LSTM, "LSTM", LSTMCell),
    "gru": (nn.GRU, "GRU", GRUCell),
}
"""The standard cells by name: torch's module, its mode, and the cell that has the same equations."""

SHUT = 1e4
"""A gate input beyond which a sigmoid is exactly 0 or 1 in every float type."""

_FUNCTIONS: dict[str, Any] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


def wants_float32(mode: str, inputs: Tensor) -> bool:
    """Whether a kernel is to be kept in the type of its weights under autocast to bfloat16.

    Autocast casts the inputs of cuDNN's kernels to float16 (ATen/cudnn/AutocastRNN.cpp), which loses
    the small gradients of a loss that is not scaled; they support bfloat16 only from cuDNN 9.13 and
    compute capability 8.0 on. And some processors have products in bfloat16, but no LSTM.
    """
    kind = inputs.device.type
    if not torch.is_autocast_enabled(kind) or torch.get_autocast_dtype(kind) != torch.bfloat16:
        return False
    if kind == "cpu":
        return mode == "LSTM" and not _has_bfloat16_lstm()
    return is_gpu(inputs.device)


@lru_cache(maxsize=1)
def _has_bfloat16_lstm() -> bool:
    """Whether this processor's library has an LSTM in bfloat16; only a trial shows it."""
    ones = torch.ones(1, 1, 1)
    weights = [torch.ones(4, 1), torch.ones(4, 1), torch.ones(4), torch.ones(4)]
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            torch.lstm(ones, (ones, ones), weights, True, 1, 0.0, True, False, False)
    except RuntimeError:
        return False
    return True


def takes_packed(padding: Padding) -> bool:
    """Whether a padded batch goes to a kernel in one packed call (`unroll_kernel`).

    That is for a GPU: cuDNN would copy the weights of one layer and direction of several at every
    call, and it runs all directions at once. It needs lengths on the host, none of them 0. On a CPU,
    packing takes 1.5 to 2.5 times as long as `unroll_layer`.
    """
    on_host = padding.given.device.type == "cpu"
    return is_gpu(padding.device) and on_host and padding.shortest > 0


def unroll_kernel(
    kernel: nn.RNNBase,
    weights: Sequence[Tensor | None],
    inputs: Tensor,
    state: State,
    padding: Padding | None = None,
) -> tuple[Tensor, State]:
    """All layers and directions of a kernel in one call; with padding, packed.

    On a GPU the kernel is called as in training wherever gradients may be needed: cuDNN has no
    backward pass otherwise. Dropout follows the mode of the module.

    Args:
        kernel: which recurrence, in which layers and directions.
        weights: those of `unroll_layer`, for each layer and direction, one after the other.
        inputs: (T, B, I).
        state: before the first step, each (L D, B, H), contiguous.
        padding: which steps are not real; see `takes_packed`.

    Returns:
        The outputs (T, B, D H), exactly 0 at padding, and the state after the last real step, each
        (L D, B, H).
    """
    dropout = kernel.dropout if kernel.training else 0.0
    shape = (kernel.num_layers, dropout, kernel.training, kernel.bidirectional)
    if padding is None:
        return _call(kernel.mode, inputs, state, weights, shape)

    steps, batch, _ = inputs.shape
    # The host knows the lengths: the indices are computed there, and uploaded at once.
    lengths, order = padding.given.long().sort(descending=True, stable=True)
    real = torch.arange(steps, device="cpu").unsqueeze(1) < lengths  # (T, B), longest first
    sizes = real.sum(1)[: int(lengths[0])]  # (T',) sequences that have not ended
    times, rows = real.nonzero(as_tuple=True)
    places = times * batch + order[rows]  # (N,) of the real steps in the batch
    indices = upload(torch.cat([places, order, order.argsort()]), inputs.device)
    places, order, back = indices.split([len(places), batch, batch])

    data = inputs.flatten(0, 1).index_select(0, places)  # (N, I)
    first = tuple(part.index_select(1, order) for part in state)
    outputs, last = _call(kernel.mode, data, first, weights, shape, sizes)
    unpacked = outputs.new_zeros(steps * batch, outputs.shape[1]).index_copy(0, places, outputs)
    return unpacked.unflatten(0, (steps, batch)), tuple(p.index_select(1, back) for p in last)


def unroll_layer(
    mode: str,
    weights: Sequence[Tensor | None],
    inputs: Tensor,
    state: State,
    padding: Padding | None,
    reverse: bool,
) -> tuple[Tensor, State]:
    """One layer in one direction, without packing.

    The kernels do not support padding. Forwards, padding comes last: its outputs are set to 0 and the
    final hidden state is looked up. Backwards, the real steps are reversed and run forwards.

    RNN_RELU is not for this function: its state has no bounds, and where it overflows in padded
    steps, 0 times infinity reaches the gradients.

    Args:
        mode: which recurrence: LSTM, GRU, RNN_TANH, or without padding RNN_RELU.
        weights: weight_ih, weight_hh, bias_ih, bias_hh of the layer and direction; None for no bias.
        inputs: (T, B, I), 0 at padding.
        state: before the first step, each (B, H).
        padding: which steps are not real.
        reverse: from the last real step to the first.

    Returns:
        The outputs (T, B, H), exactly 0 at padding, and the state after the last real step.
    """
    if reverse:
        inputs = inputs.flip(0) if padding is None else padding.reverse(inputs)
    if mode == "LSTM" and padding is not None:
        inputs, weights = _hold_memory(inputs, weights, padding)
    if is_gpu(inputs.device) and weights[2] is None:
        weights = _with_zero_biases(weights)
    first = tuple(part.unsqueeze(0).contiguous() for part in state)  # cuDNN refuses a view
    outputs, last = _call(mode, inputs, first, weights, (1, 0.0, False, False))
    hidden, *memory = (part.squeeze(0) for part in last)
    if padding is None:
        return outputs.flip(0) if reverse else outputs, (hidden, *memory)
    hidden = padding.last(outputs, state[0])
    outputs = padding.clear(outputs)
    return padding.reverse(outputs) if reverse else outputs, (hidden, *memory)


def _with_zero_biases(weights: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The weights of one layer and direction of several, for cuDNN.

    cuDNN keeps biases also where there are none, as zeros behind the weights. PyTorch takes the weights
    of the first of several layers, which lie as those of a single layer do, for such a buffer (seen
    with 2.11): the weights of the next layer would be the biases.
    """
    weight, recurrent, *_ = weights
    assert weight is not None
    zeros = weight.new_zeros(len(weight))
    return [weight, recurrent, zeros, zeros]


def _hold_memory(
    inputs: Tensor, weights: Sequence[Tensor | None], padding: Padding
) -> tuple[Tensor, list[Tensor | None]]:
    """Make padded steps of an LSTM keep its memory, which no output shows.

    One more input feature is 1 at padding; its weights shut the input gate and open the forget
    gate. The final memory is then that of the last real step, exactly, at the cost of one column.
    (Packing takes 1.5 to 2.5 times as long on a CPU, and makes the host wait where lengths are on a
    GPU.)
    """
    weight, *others = weights
    assert weight is not None
    size = weight.shape[0] // 4
    column = weight.new_zeros(4 * size, 1)
    column[:size] = -SHUT
    column[size : 2 * size] = SHUT
    inputs = torch.cat([inputs, padding.mask.to(inputs.dtype)], dim=2)  # (T, B, I + 1)
    return inputs, [torch.cat([weight, column], dim=1), *others]


def _call(
    mode: str,
    inputs: Tensor,
    state: State,
    weights: Sequence[Tensor | None],
    shape: tuple[int, float, bool, bool],
    sizes: Tensor | None = None,
) -> tuple[Tensor, State]:
    """The functional form of torch.nn's module, time-major.

    Args:
        shape: layers, dropout, whether the module trains, whether it is bidirectional.
        sizes: of packed inputs, the sequences of each step.
    """
    layers, dropout, trains, bidirectional = shape
    trains = trains or torch.is_grad_enabled()
    first = state if mode == "LSTM" else state[0]
    present = [each for each in weights if each is not None]
    biased = weights[2] is not None
    rest = (present, biased, layers, dropout, trains, bidirectional)
    arguments = (inputs, first, *rest, False) if sizes is None else (inputs, sizes, first, *rest)
    # A compiled graph would take the kernels apart into their steps. (Not a decorator: it imports the
    # compiler.)
    run = torch.compiler.disable(_run) if torch.compiler.is_compiling() else _run
    outputs, *last = run(_FUNCTIONS[mode], arguments, is_gpu(inputs.device))
    return outputs, tuple(last)


def _run(function: Callable[..., Any], arguments: tuple, gpu: bool) -> Any:
    with warnings.catch_warnings() if gpu else nullcontext():
        if gpu:
            # One layer of several is no contiguous chunk of memory: cuDNN copies it, with a warning.
            warnings.filterwarnings("ignore", message=".*single contiguous chunk of memory")
        return function(*arguments)
