"""From a context to tokens: attention, decoder, search strategies and their constraints."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.decoding.attention import (
        AdditiveAttention,
        Attended,
        Attention,
        ConcatAttention,
        DotAttention,
        GeneralAttention,
        Memory,
        coverage_penalty,
    )
    from common.decoding.constraints import (
        Constraint,
        Forbidden,
        ForcedPrefixes,
        MinimumLength,
        NoRepeatedNgrams,
    )
    from common.decoding.context import Context
    from common.decoding.decoder import RecurrentDecoder
    from common.decoding.hypotheses import Hypothesis
    from common.decoding.scheduled_sampling import (
        SampledInputs,
        ScheduledSampling,
        constant_ratio,
        exponential_ratio,
        inverse_sigmoid_ratio,
        linear_ratio,
    )
    from common.decoding.search import BeamSearch, Greedy, Sampling, Search
    from common.decoding.step_model import Step, StepModel
    from common.decoding.unrolling import Unrolled

__all__, __getattr__ = handing_on(__name__, __file__)
