"""Names that options take. This file imports no torch, so that `--help` is quick."""

from __future__ import annotations

from typing import Literal, TypeAlias

StandardCell: TypeAlias = Literal["rnn", "rnn_relu", "lstm", "gru"]
"""The cells that run on the kernels of `torch.nn`."""

Initialization: TypeAlias = Literal["pytorch", "glorot", "orthogonal", "identity"]
"""How recurrent weights are initialised; see `initialize_`."""
