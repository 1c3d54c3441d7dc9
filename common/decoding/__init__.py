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
from common.decoding.scheduled_sampling import (
    ConstantRatio,
    ExponentialRatio,
    InverseSigmoidRatio,
    LinearRatio,
    ScheduledSampling,
)

__all__ = [
    "AdditiveAttention",
    "Attention",
    "ConcatAttention",
    "ConstantRatio",
    "Context",
    "DotAttention",
    "ExponentialRatio",
    "GeneralAttention",
    "InverseSigmoidRatio",
    "LinearRatio",
    "RecurrentDecoder",
    "ScheduledSampling",
    "Unrolled",
    "coverage_penalty",
]
