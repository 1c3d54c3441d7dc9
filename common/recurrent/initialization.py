"""Initialisation of recurrent weights, by name, gate by gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, get_args

import torch
from torch import Tensor, nn

from common.recurrent.cells import WEIGHTS, Cell, LSTMCell
from common.recurrent.names import Initialization

_Layer: TypeAlias = tuple[Sequence[Tensor | None], int, int | None]
"""Of a cell, or of a layer and direction: its weights (as in `WEIGHTS`), H, and its forget gate."""

Initializer: TypeAlias = str | Callable[[Tensor], object]
"""A name of `torch.nn.init` without its underscore ("xavier_uniform"), a name of Keras
("glorot_uniform"), or a function that fills a tensor in place."""


def initialize_(
    module: nn.Module,
    scheme: Initialization | None = None,
    *,
    input_weights: Initializer | None = None,
    recurrent_weights: Initializer | None = None,
    biases: Initializer | None = None,
    forget_bias: float | None = None,
) -> None:
    """Initialise every cell and every `torch.nn` recurrent network inside a module, in place.

    Each gate has its own block of rows in the weights, and each block is initialised by itself: the
    fan-out of a gate is H, and only a block H x H can be orthogonal. A scheme is of all weights:

    - "pytorch": uniform in +-1/sqrt(H), biases too; PyTorch's default.
    - "glorot": Glorot uniform for both weights (Glorot and Bengio 2010), biases 0.
    - "orthogonal": recurrent weights orthogonal, so that they keep the norm of a state (Saxe,
      McClelland and Ganguli 2014), input weights Glorot uniform, biases 0.
    - "keras": Keras' default, which is "orthogonal" with all gates as one matrix: the fan-out is that
      of all gates, and the columns of the whole recurrent matrix are orthogonal.
    - "identity": recurrent weights the identity, input weights normal with deviation 0.001, biases
      0; for simple networks with ReLU (Le, Jaitly and Hinton 2015).

    A recurrent weight that is a diagonal, (H,), has no such schemes: it is uniform in 0..1 (Li et al.
    2018), with "identity" 1. Other weights of a cell, such as peepholes and gains, stay as they are.

    Args:
        module: a `Cell`, a `Recurrent`, a `torch.nn.RNN/LSTM/GRU`, or any module that has some.
        scheme: by name; without one, only what is named below is initialised.
        input_weights: of each gate's block (H, I), in the place of the scheme's.
        recurrent_weights: of each gate's block (H, H), or of a diagonal (H,).
        biases: of each gate's biases (H,).
        forget_bias: the bias of the forget gate of LSTMs, so that memory is kept from the start
            (Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015). Default:
            1; with "pytorch", or without a scheme, as it is.

    Raises:
        ValueError: an unknown scheme or name, nothing to initialise, or "identity" for a cell with
            gates.
    """
    if scheme is not None and scheme not in get_args(Initialization):
        names = ", ".join(get_args(Initialization))
        raise ValueError(f"initialization is one of {names}, not {scheme!r}")
    if forget_bias is None and scheme not in (None, "pytorch"):
        forget_bias = 1.0
    layers = [layer for child in module.modules() for layer in _layers(child)]
    if not layers:
        raise ValueError(f"{type(module).__name__} has no recurrent cell to initialise")
    named = (input_weights, recurrent_weights, biases, biases)
    fillers = [None if each is None else initializer(each) for each in named]
    with torch.no_grad():
        for weights, size, forget_gate in layers:
            if scheme is not None:
                _initialize(weights, size, scheme)
            for tensor, fill in zip(weights, fillers, strict=False):  # biases may be missing
                if tensor is not None and fill is not None:
                    for gate in tensor.split(size):
                        fill(gate)
            _, _, *both = weights
            if forget_bias is not None and forget_gate is not None:
                # The two biases are added up: one of them has the value.
                rows = slice(forget_gate * size, (forget_gate + 1) * size)
                for bias, value in zip(both, (forget_bias, 0.0), strict=False):
                    if bias is not None:
                        bias[rows] = value


def initializer(name: Initializer) -> Callable[[Tensor], object]:
    """The function of a name.

    Raises:
        ValueError: an unknown name.
    """
    if callable(name):
        return name
    known = _KERAS.get(name) or getattr(nn.init, f"{name}_", None)
    if known is None or name.startswith("_"):
        raise ValueError(
            f"an initializer is one of {', '.join(_KERAS)}, or a name of torch.nn.init without its "
            f"underscore; not {name!r}"
        )
    return known


def _scaled(tensor: Tensor, fan: str, scale: float, normal: bool) -> None:
    """Keras' VarianceScaling: variance scale / fan; its normal distribution ends at two deviations."""
    fan_out, fan_in = tensor.shape[0], tensor.shape[-1]
    number = {"in": fan_in, "mean": (fan_in + fan_out) / 2}[fan]
    deviation = math.sqrt(scale / number)
    if not normal:
        nn.init.uniform_(tensor, -math.sqrt(3) * deviation, math.sqrt(3) * deviation)
        return
    deviation /= 0.87962566103423978  # the deviation of a standard normal cut at 2
    nn.init.trunc_normal_(tensor, 0.0, deviation, -2 * deviation, 2 * deviation)


_KERAS: dict[str, Callable[[Tensor], object]] = {
    f"{name}_{kind}": partial(_scaled, fan=fan, scale=scale, normal=kind == "normal")
    for name, fan, scale in (("glorot", "mean", 1.0), ("he", "in", 2.0), ("lecun", "in", 1.0))
    for kind in ("uniform", "normal")
} | {
    "identity": nn.init.eye_,
    "random_uniform": partial(nn.init.uniform_, a=-0.05, b=0.05),
    "random_normal": partial(nn.init.normal_, std=0.05),
    "truncated_normal": partial(nn.init.trunc_normal_, std=0.05, a=-0.1, b=0.1),
}
"""What Keras calls otherwise than PyTorch, or fills with other values."""


def _layers(module: nn.Module) -> list[_Layer]:
    """What is to be initialised in a module itself, not in its children."""
    if isinstance(module, Cell):
        weights = [getattr(module, name) for name in WEIGHTS]
        return [(weights, module.hidden_size, module.forget_gate)]
    if isinstance(module, nn.RNNBase):
        gate = LSTMCell.forget_gate if module.mode == "LSTM" else None
        return [(weights, module.hidden_size, gate) for weights in module.all_weights]
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
    if scheme == "keras":
        nn.init.xavier_uniform_(weight_ih)
        if weight_hh is not None:
            (nn.init.orthogonal_ if weight_hh.dim() == 2 else nn.init.uniform_)(weight_hh)
        return
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
