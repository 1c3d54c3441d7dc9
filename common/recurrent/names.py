"""Names that options take. This file imports no torch, so that `--help` is quick."""

from __future__ import annotations

from typing import Literal, TypeAlias

StandardCell: TypeAlias = Literal["rnn", "rnn_relu", "lstm", "gru"]
"""The cells that run on the kernels of `torch.nn`."""

CellName: TypeAlias = Literal[
    "rnn", "rnn_relu", "lstm", "gru",
    "gru_cho", "gru_layer_norm", "lstm_coupled", "lstm_layer_norm", "lstm_peephole",
    "cornn", "hgrn", "indrnn", "janet", "lem", "mgu", "mingru", "minlstm",
]  # fmt: skip
"""The cells by name; gru_cho resets before the product (Cho et al. 2014)."""

Initialization: TypeAlias = Literal["pytorch", "glorot", "orthogonal", "identity", "keras"]
"""How recurrent weights are initialised; see `initialize_`."""

Merge: TypeAlias = Literal["concat", "sum", "mean", "product"]
"""How the outputs of two directions become one; see `Stack`."""

Connections: TypeAlias = Literal["plain", "residual", "dense"]
"""What a layer passes to the next one; see `Stack`."""

Mode: TypeAlias = Literal["loop", "parallel"]
"""How a cell is unrolled: step by step, or all steps at once; see `Recurrent`."""
