"""How recurrent weights begin: by name, gate by gate."""

from __future__ import annotations

from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from common.recurrent.cells import Cell
from common.recurrent.names import Initialization


def initialize_(
    module: nn.Module, scheme: Initialization, *, forget_bias: float | None = None
) -> None:
    """Initialise every cell and every `torch.nn` recurrent network inside a module, in place.

    Each gate has its own block of rows in the weights, and each block is initialised by itself: the
    fan-out of a gate is H, and only a block H x H can be orthogonal.

    - "pytorch": uniform in +-1/sqrt(H), biases too; PyTorch's default.
    - "glorot": Glorot uniform for both weights (Glorot and Bengio 2010), biases 0.
    - "orthogonal": recurrent weights orthogonal, so that they keep the norm of a state (Saxe,
      McClelland and Ganguli 2014), input weights Glorot uniform, biases 0; Keras' default.
    - "identity": recurrent weights the identity, input weights normal with deviation 0.001, biases
      0; for simple networks with ReLU (Le, Jaitly and Hinton 2015).

    Args:
        module: a `Cell`, a `Recurrent`, a `torch.nn.RNN/LSTM/GRU`, or any module that has some.
        scheme: by name.
        forget_bias: the bias of the forget gate of LSTMs, so that memory is kept from the start
            (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015). Default:
            1, but untouched by "pytorch".

    Raises:
        ValueError: an unknown scheme, nothing to initialise, or "identity" for a cell with gates.
    """
    if scheme not in get_args(Initialization):
        names = ", ".join(get_args(Initialization))
        raise ValueError(f"initialization is one of {names}, not {scheme!r}")
    if forget_bias is None and scheme != "pytorch":
        forget_bias = 1.0
    parts = [part for child in module.modules() for part in _weights(child)]
    if not parts:
        raise ValueError(f"{type(module).__name__} has no recurrent cell to initialise")
    with torch.no_grad():
        for part in parts:
            _initialize(part, scheme)
            if forget_bias is not None and part.forget_gate is not None:
                # Two biases are added up: one of them carries the value.
                rows = slice(part.forget_gate * part.size, (part.forget_gate + 1) * part.size)
                part.bias_ih[rows] = forget_bias
                part.bias_hh[rows] = 0


class _Weights(NamedTuple):
    """The weights of one cell, or of one layer and direction."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor
    size: int
    forget_gate: int | None


def _weights(module: nn.Module) -> list[_Weights]:
    if isinstance(module, Cell):
        tensors = (module.weight_ih, module.weight_hh, module.bias_ih, module.bias_hh)
        return [_Weights(*tensors, module.hidden_size, module.forget_gate)]
    if isinstance(module, nn.RNNBase):
        if module.mode not in ("RNN_TANH", "RNN_RELU", "LSTM", "GRU") or not module.bias:
            raise ValueError("a torch.nn network without biases is not supported")
        gate = LSTM_FORGET_GATE if module.mode == "LSTM" else None
        layers = module.all_weights
        return [_Weights(w, u, b, c, module.hidden_size, gate) for w, u, b, c in layers]
    return []


LSTM_FORGET_GATE = 1
"""The gates of torch.nn.LSTM are i, f, g, o."""


def _initialize(part: _Weights, scheme: Initialization) -> None:
    biases = (part.bias_ih, part.bias_hh)
    if scheme == "pytorch":
        bound = part.size**-0.5
        for tensor in (part.weight_ih, part.weight_hh, *biases):
            nn.init.uniform_(tensor, -bound, bound)
        return
    for bias in biases:
        nn.init.zeros_(bias)
    if scheme == "identity":
        if part.weight_hh.shape[0] != part.size:
            raise ValueError("identity is for simple cells: one with gates has no such start")
        nn.init.eye_(part.weight_hh)
        nn.init.normal_(part.weight_ih, std=0.001)
        return
    for gate in part.weight_ih.split(part.size):
        nn.init.xavier_uniform_(gate)
    for gate in part.weight_hh.split(part.size):
        if scheme == "orthogonal":
            nn.init.orthogonal_(gate)
        else:
            nn.init.xavier_uniform_(gate)
