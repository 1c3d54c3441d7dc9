"""The names that decoder and search take. Nothing is imported here: `--help` is quick."""

from __future__ import annotations

from typing import Literal, TypeAlias

Injection: TypeAlias = Literal["init", "first", "every", "output"]
"""How a context vector enters a decoder; see `RecurrentDecoder`."""

AttentionKind: TypeAlias = Literal["additive", "dot", "general", "concat"]
"""How a query scores the memory; see `attention.py`."""

ReadoutKind: TypeAlias = Literal["linear", "tanh", "maxout"]
"""What stands between the joined features of a decoder and its logits; see `Readout`."""

LengthNorm: TypeAlias = Literal["power", "gnmt"]
"""What a length penalty is the exponent of; see `length_penalty.py`."""
