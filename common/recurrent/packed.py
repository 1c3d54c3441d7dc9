"""PyTorch's recurrent kernels on a GPU: one call for all layers and directions, padded or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.compute.device import is_gpu, upload
from common.recurrent.padding import Padding
from common.recurrent.state import State


def takes_packed(padding: Padding) -> bool:
    """Whether a padded batch goes to a kernel in one packed call.

    That is for a GPU: cuDNN would copy the weights of one layer and direction of several at every
    call, and it runs all directions at once. It needs lengths on the host, none of them 0. On a CPU,
    packing takes 1.5 to 2.5 times as long as `unroll_fused`.
    """
    on_host = padding.given.device.type == "cpu"
    return is_gpu(padding.device) and on_host and padding.shortest > 0


def unroll_kernel(
    kernel: nn.RNNBase, inputs: Tensor, state: State, padding: Padding | None = None
) -> tuple[Tensor, State]:
    """All layers and directions of a kernel in one call; with padding, packed.

    The kernel is called as in training wherever gradients may be needed: cuDNN has no backward
    pass otherwise. Dropout follows the mode of the module.

    Args:
        kernel: whose weights they are.
        inputs: (T, B, I).
        state: before the first step, each (L D, B, H), contiguous.
        padding: which steps are not real; see `takes_packed`.

    Returns:
        The outputs (T, B, D H), exactly 0 at padding, and the state after the last real step, each
        (L D, B, H).
    """
    # Looked up anew each time, and not in `kernel._flat_weights`: they may have been exchanged.
    weights = [kernel._parameters[name] for name in kernel._flat_weights_names]
    trains = kernel.training or torch.is_grad_enabled()
    dropout = kernel.dropout if kernel.training else 0.0
    rest = (weights, True, kernel.num_layers, dropout, trains, kernel.bidirectional)
    call = {
        "LSTM": torch.lstm,
        "GRU": torch.gru,
        "RNN_TANH": torch.rnn_tanh,
        "RNN_RELU": torch.rnn_relu,
    }[kernel.mode]
    if padding is None:
        first = state if kernel.mode == "LSTM" else state[0]
        outputs, *last = call(inputs, first, *rest, False)  # type: ignore[operator]
        return outputs, tuple(last)

    steps, batch, _ = inputs.shape
    # All that the host knows is computed there, and uploaded at once.
    lengths, order = padding.given.long().sort(descending=True, stable=True)
    real = torch.arange(steps, device="cpu").unsqueeze(1) < lengths  # (T, B) in falling order
    sizes = real.sum(1)
    sizes = sizes[: int(lengths[0])]  # (T',) sequences that are not yet over
    times, rows = real.nonzero(as_tuple=True)
    places = times * batch + order[rows]  # (N,) of the real steps in the batch
    indices = upload(torch.cat([places, order, order.argsort()]), inputs.device)
    places, order, back = indices.split([len(places), batch, batch])

    data = inputs.flatten(0, 1).index_select(0, places)  # (N, I)
    parts = tuple(part.index_select(1, order) for part in state)
    first = parts if kernel.mode == "LSTM" else parts[0]
    outputs, *last = call(data, sizes, first, *rest)  # type: ignore[operator]
    unpacked = outputs.new_zeros(steps * batch, outputs.shape[1]).index_copy(0, places, outputs)
    return unpacked.unflatten(0, (steps, batch)), tuple(p.index_select(1, back) for p in last)
