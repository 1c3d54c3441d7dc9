"""Weights from and to the layouts of `torch.nn` and Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from common.recurrent.cells import WEIGHTS, Cell, GRUCell, LSTMCell, SimpleRNNCell
from common.recurrent.fused import STANDARD
from common.recurrent.layer import Recurrent
from common.recurrent.names import StandardCell

KerasWeights: TypeAlias = list[list[np.ndarray]]
"""For each layer, from the lowest, what its `get_weights()` returns and its `set_weights()` takes."""

_NAMES = {mode: name for name, (_, mode, _) in STANDARD.items()}


def from_torch(module: nn.RNNBase) -> Recurrent:
    """A `Recurrent` with the weights of a network of torch.nn, on its device and in its mode.

    It takes and returns batches first, whatever the module does.

    Args:
        module: an `nn.RNN`, `nn.LSTM` or `nn.GRU`.

    Raises:
        ValueError: the module has a `proj_size`.
    """
    if module.proj_size:
        raise ValueError(f"an LSTM with proj_size={module.proj_size} has no counterpart here")
    recurrent = Recurrent(
        _NAMES[module.mode], module.input_size, module.hidden_size, num_layers=module.num_layers,
        bidirectional=module.bidirectional, dropout=module.dropout, bias=module.bias,
    )  # fmt: skip
    recurrent.to(next(module.parameters())).train(module.training)
    recurrent.load_state_dict(module.state_dict())
    return recurrent


def to_torch(recurrent: Recurrent) -> nn.RNNBase:
    """A network of torch.nn, batches first, with a copy of the weights of a `Recurrent`.

    Args:
        recurrent: of a standard cell, by name or by class: `SimpleRNNCell`, `LSTMCell`, or `GRUCell`
            with the reset after the product. What is dropped inside the recurrence in training, and a
            learnt first state, are not of torch's.

    Raises:
        ValueError: torch.nn has no such cell, or no network of such layers.
    """
    cells = recurrent._weights()
    first = cells[0]
    name = _torch_name(first)
    stack = recurrent.stack
    concatenates = stack.num_directions == 1 or stack.merge == "concat"
    if not (stack.is_plain and concatenates) or recurrent.go_backwards:
        raise ValueError(
            "torch.nn has no network of unequal, connected or merged layers, nor one that goes backwards"
        )
    if any(recurrent.regularization.zoneouts(1)):
        raise ValueError("torch.nn has no network with zoneout, which acts in evaluation too")
    layers = recurrent.num_layers
    module = STANDARD[name][0](
        recurrent.input_size, recurrent.hidden_size, layers, batch_first=True,
        bidirectional=recurrent.num_directions == 2, bias=first.bias_ih is not None,
        dropout=recurrent.dropout if layers > 1 else 0.0,
    )  # fmt: skip
    assert first.weight_ih is not None
    module.to(first.weight_ih).train(recurrent.training)
    with torch.no_grad():
        for theirs, cell in zip(module.all_weights, cells, strict=True):
            for weight, each in zip(theirs, WEIGHTS, strict=False):
                weight.copy_(getattr(cell, each))
    return module


def keras_weights(recurrent: Recurrent) -> KerasWeights:
    """The weights as the layers of Keras take them: `SimpleRNN`, `LSTM`, `GRU`.

    Of a layer: kernel (I, G H), recurrent_kernel (H, G H) and bias (G H,), without the last where there
    are no biases. The gates of an LSTM are i, f, c, o, those of a GRU z, r, h. Where torch has two
    biases that are only ever added, Keras has their sum. A GRU with the reset after the product, Keras'
    default (`reset_after=True`), keeps both: bias (2, 3 H). Of a bidirectional layer, the arrays of the
    backward direction follow those of the forward one, as in `Bidirectional`.

        for layer, weights in zip(keras_layers, keras_weights(recurrent)):
            layer.set_weights(weights)

    Args:
        recurrent: of a standard cell, by name or by class, or of `GRUCell` with reset_after=False.

    Raises:
        ValueError: Keras has no such layer.
    """
    cells = recurrent._weights()
    directions = recurrent.num_directions
    arrays = [_to_keras(cell) for cell in cells]
    return [sum(arrays[at : at + directions], []) for at in range(0, len(cells), directions)]


@torch.no_grad()
def load_keras_weights_(recurrent: Recurrent, weights: Sequence[Sequence[np.ndarray]]) -> None:
    """Copy the weights of Keras' layers into a `Recurrent`, in place.

    Where torch has two biases and Keras one, the second becomes 0.

        load_keras_weights_(recurrent, [layer.get_weights() for layer in keras_layers])

    Args:
        recurrent: of the same cell and sizes; a GRU of Keras has the reset after the product
            ("gru") unless it was made with reset_after=False (`partial(GRUCell, reset_after=False)`).
        weights: a list for each layer, as `keras_weights` returns them.

    Raises:
        ValueError: Keras has no such layer, or the weights are of other layers or shapes; then nothing
            is changed.
    """
    cells = recurrent._weights()
    if len(weights) != recurrent.num_layers:
        raise ValueError(
            f"weights are a list for each of the {recurrent.num_layers} layers, not {len(weights)}"
        )
    found: list[list[Tensor]] = []
    for number, layer in enumerate(weights):
        at = number * recurrent.num_directions
        ours = cells[at : at + recurrent.num_directions]
        expected = [array.shape for cell in ours for array in _to_keras(cell)]
        shapes = [np.shape(array) for array in layer]
        if shapes != expected:
            raise ValueError(f"layer {number} has arrays of the shapes {expected}, not {shapes}")
        each = len(layer) // len(ours)
        for place, cell in enumerate(ours):
            found.append(_from_keras(cell, layer[place * each : (place + 1) * each]))
    targets = [getattr(cell, name) for cell in cells for name in WEIGHTS]
    if not all(isinstance(each, nn.Parameter | None) for each in targets):
        raise ValueError(
            "weights that are computed from others (parametrised, pruned) take no values"
        )
    for cell, tensors in zip(cells, found, strict=True):
        for name, tensor in zip(WEIGHTS, tensors, strict=False):
            getattr(cell, name).copy_(tensor)


def _torch_name(cell: Cell) -> StandardCell:
    """The name of a cell that torch.nn has."""
    if type(cell) is SimpleRNNCell:
        return "rnn" if cell.nonlinearity == "tanh" else "rnn_relu"
    if type(cell) is LSTMCell:
        return "lstm"
    if type(cell) is GRUCell and cell.reset_after:
        return "gru"
    raise ValueError(f"torch.nn has no network of {_described(cell)}")


def _to_keras(cell: Cell) -> list[np.ndarray]:
    """kernel, recurrent_kernel, bias."""
    if type(cell) not in (SimpleRNNCell, LSTMCell, GRUCell):
        raise ValueError(f"Keras has no layer of {_described(cell)}")
    weight_ih, weight_hh, *biases = (
        None if (weight := getattr(cell, name)) is None else _gates(cell, weight)
        for name in WEIGHTS
    )
    assert weight_ih is not None and weight_hh is not None
    arrays = [_array(weight_ih.t()), _array(weight_hh.t())]
    present = [bias for bias in biases if bias is not None]
    if present:
        both = torch.stack(present)
        keeps_both = type(cell) is GRUCell and cell.reset_after
        arrays.append(_array(both if keeps_both else both.sum(0)))
    return arrays


def _from_keras(cell: Cell, arrays: Sequence[np.ndarray]) -> list[Tensor]:
    """weight_ih, weight_hh, bias_ih, bias_hh, of arrays that have the shapes of `_to_keras`."""
    kernel, recurrent, *biases = (torch.from_numpy(np.array(array)) for array in arrays)
    tensors = [kernel.t(), recurrent.t()]
    for bias in biases:
        tensors += bias.unbind(0) if bias.dim() == 2 else (bias, torch.zeros_like(bias))
    return [_gates(cell, tensor) for tensor in tensors]


def _gates(cell: Cell, weight: Tensor) -> Tensor:
    """weight: (G H, ...). Exchanges r and z, which Keras has the other way round in a GRU."""
    if not isinstance(cell, GRUCell):
        return weight
    first, second, candidate = weight.chunk(3)
    return torch.cat([second, first, candidate])


def _array(tensor: Tensor) -> np.ndarray:
    """A copy, in a type that numpy has."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy().copy()


def _described(cell: Cell) -> str:
    reset = type(cell) is GRUCell and not cell.reset_after
    return type(cell).__name__ + (" with reset_after=False" if reset else "")
