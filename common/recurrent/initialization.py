"""Initialisation of recurrent weights, by name, gate by gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, get_args

import torch
from torch import Tensor, nn

from common.recurrent.cells import WEIGHTS, Cell, GRUCell, LSTMCell
from common.recurrent.names import Initialization

_Layer: TypeAlias = tuple[Sequence[Tensor | None], int, int | None, Mapping[int, int]]
"""Of a cell, or of a layer and direction: its weights (as in `WEIGHTS`), H, its forget gate, and its
memory gates."""


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

    A recurrent weight that is a diagonal, (H,), has no such schemes: it is uniform in 0..1 (Li et al.
    2018), with "identity" 1. Other weights of a cell, such as peepholes and gains, stay as they are.

    Args:
        module: a `Cell`, a `Recurrent`, a `torch.nn.RNN/LSTM/GRU`, or any module that has some.
        scheme: by name.
        forget_bias: the bias of the forget gate of LSTMs, so that memory is kept from the start
            (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015). Default:
            1; with "pytorch", that of the scheme.

    Raises:
        ValueError: an unknown scheme, nothing to initialise, or "identity" for a cell with gates.
    """
    if scheme not in get_args(Initialization):
        names = ", ".join(get_args(Initialization))
        raise ValueError(f"initialization is one of {names}, not {scheme!r}")
    if forget_bias is None and scheme != "pytorch":
        forget_bias = 1.0
    layers = [layer for child in module.modules() for layer in _layers(child)]
    if not layers:
        raise ValueError(f"{type(module).__name__} has no recurrent cell to initialise")
    with torch.no_grad():
        for weights, size, forget_gate, _ in layers:
            _initialize(weights, size, scheme)
            _, _, *biases = weights
            if forget_bias is not None and forget_gate is not None:
                # The two biases are added up: one of them has the value.
                rows = slice(forget_gate * size, (forget_gate + 1) * size)
                for bias, value in zip(biases, (forget_bias, 0.0), strict=False):
                    if bias is not None:
                        bias[rows] = value


def chrono_(module: nn.Module, longest: int) -> None:
    """Set the biases of gates so that memories last 1 to `longest` steps from the start, in place.

    A gate that keeps u / (1 + u) of a memory lets it last about u steps; for each unit u is drawn
    uniformly from 1 to `longest` - 1, and the bias is log u, or -log u where the gate replaces the
    memory ("chrono initialisation", Tallec and Ollivier 2018). With the usual biases near 0, nothing
    is left of a gradient after some ten steps, and what is to be kept for a thousand is not found.

    Args:
        module: as `initialize_` takes it; of its cells, those whose `memory_gates` are known and that
            have biases. The others stay as they are.
        longest: steps, at least 2.

    Raises:
        ValueError: fewer steps, or no such cell.
    """
    if longest < 2:
        raise ValueError(f"memories last at least 2 steps, not {longest}")
    found = False
    for weights, size, _, gates in (each for child in module.modules() for each in _layers(child)):
        _, _, *biases = (None if weight is None else weight.detach() for weight in weights)
        if not gates or biases[0] is None:
            continue
        found = True
        lasting = torch.empty_like(biases[0][:size]).uniform_(1, longest - 1).log_()
        for gate, sign in gates.items():
            rows = slice(gate * size, (gate + 1) * size)
            for bias, factor in zip(biases, (sign, 0), strict=True):  # the two are added up
                if bias is not None:
                    bias[rows] = factor * lasting
    if not found:
        raise ValueError(f"{type(module).__name__} has no gates with biases that keep a memory")


def _layers(module: nn.Module) -> list[_Layer]:
    """What is to be initialised in a module itself, not in its children."""
    if isinstance(module, Cell):
        weights = [getattr(module, name) for name in WEIGHTS]
        return [(weights, module.hidden_size, module.forget_gate, module.memory_gates)]
    if isinstance(module, nn.RNNBase):
        cell: type[Cell] = {"LSTM": LSTMCell, "GRU": GRUCell}.get(module.mode, Cell)
        how = module.hidden_size, cell.forget_gate, cell.memory_gates
        return [(weights, *how) for weights in module.all_weights]
    return []


def _initialize(weights: Sequence[Tensor | None], size: int, scheme: Initialization) -> None:
    weight_ih, weight_hh, *biases = weights
    assert weight_ih is not None
    if scheme == "pytorch":
        for tensor in weights:
            if tensor is not None:
                nn.init.uniform_(tensor, -(size**-0.5), size**-0.5)
        return
    for bias in biases:
        if bias is not None:
            nn.init.zeros_(bias)
    if scheme == "identity":
        if weight_hh is None or weight_hh.shape not in ((size, size), (size,)):
            raise ValueError("identity is for simple cells: a cell with gates has no such scheme")
        (nn.init.eye_ if weight_hh.dim() == 2 else nn.init.ones_)(weight_hh)
        nn.init.normal_(weight_ih, std=0.001)
        return
    for gate in weight_ih.split(size):
        nn.init.xavier_uniform_(gate)
    if weight_hh is None:
        return
    if weight_hh.dim() == 1:
        nn.init.uniform_(weight_hh)
        return
    for gate in weight_hh.split(size):
        for block in gate.split(size, dim=1):
            (nn.init.orthogonal_ if scheme == "orthogonal" else nn.init.xavier_uniform_)(block)
