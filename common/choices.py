"""The names that classes and command lines share. Nothing is imported here: `--help` is quick."""

from __future__ import annotations

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["fp32", "bf16", "auto"]
"""Arithmetic of matrix products: float32, bfloat16, or whichever is the faster one (`precision.py`)."""

StandardCell: TypeAlias = Literal["rnn", "rnn_relu", "lstm", "gru"]
"""The cells that run on the kernels of `torch.nn`."""

Initialization: TypeAlias = Literal["pytorch", "glorot", "orthogonal", "identity"]
"""How recurrent weights begin; see `initialize_`."""

Injection: TypeAlias = Literal["init", "first", "every", "output"]
"""How a context vector enters a decoder; see `RecurrentDecoder`."""

AttentionKind: TypeAlias = Literal["additive", "dot", "general", "concat"]
"""How a query scores the memory; see `attention.py`."""

ReadoutKind: TypeAlias = Literal["linear", "tanh", "maxout"]
"""What stands between the joined features of a decoder and its logits; see `Readout`."""

LengthNorm: TypeAlias = Literal["power", "gnmt"]
"""What a length penalty is the exponent of; see `length_penalty.py`."""

Fit: TypeAlias = Literal["squash", "crop", "pad"]
"""How a picture becomes a square; see `ImageTransform`."""

Summary: TypeAlias = Literal["last", "max", "mean"]
"""What the context vector of a sentence is; see `SentenceEncoder`."""

Tokenization: TypeAlias = Literal["13a", "intl", "zh", "char", "none", "ja-mecab", "ko-mecab"]
"""How BLEU finds words; see `score_translations`. Not among them: sacreBLEU's tokenizers that download
a model when they are first used."""
