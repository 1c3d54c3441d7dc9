"""Names that options take. This file imports no torch, so that `--help` is quick."""

from __future__ import annotations

from typing import Literal, TypeAlias

Injection: TypeAlias = Literal["init", "first", "every", "output"]
"""How a context vector enters a decoder; see `RecurrentDecoder`."""

AttentionKind: TypeAlias = Literal["additive", "dot", "general", "concat"]
"""How a query scores the memory; see `attention.py`."""

ReadoutKind: TypeAlias = Literal["linear", "tanh", "maxout"]
"""The nonlinearity before the logits; see `Readout`."""

LengthNorm: TypeAlias = Literal["power", "gnmt"]
"""What the length penalty is the exponent of; see `Search`."""
