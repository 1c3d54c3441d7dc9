"""From a context to words: attention, decoder, search."""

from common.decoding.attention import (
    AdditiveAttention,
    Attention,
    ConcatAttention,
    DotAttention,
    GeneralAttention,
    coverage_penalty,
)
from common.decoding.context import Context
from common.decoding.decoder import RecurrentDecoder, Unrolled

__all__ = [
    "AdditiveAttention",
    "Attention",
    "ConcatAttention",
    "Context",
    "DotAttention",
    "GeneralAttention",
    "RecurrentDecoder",
    "Unrolled",
    "coverage_penalty",
]
