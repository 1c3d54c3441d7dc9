"""From a context to tokens: attention, decoder, search strategies and their constraints."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.decoding.attention import (
        AdditiveAttention as AdditiveAttention,
        Attended as Attended,
        Attention as Attention,
        ConcatAttention as ConcatAttention,
        DotAttention as DotAttention,
        GeneralAttention as GeneralAttention,
        Memory as Memory,
        coverage_penalty as coverage_penalty,
    )
    from common.decoding.constraints import (
        Constraint as Constraint,
        Forbidden as Forbidden,
        ForcedPrefixes as ForcedPrefixes,
        MinimumLength as MinimumLength,
        NoRepeatedNgrams as NoRepeatedNgrams,
    )
    from common.decoding.context import Context as Context
    from common.decoding.decoder import RecurrentDecoder as RecurrentDecoder
    from common.decoding.hypotheses import Hypothesis as Hypothesis
    from common.decoding.scheduled_sampling import (
        SampledInputs as SampledInputs,
        ScheduledSampling as ScheduledSampling,
        constant_ratio as constant_ratio,
        exponential_ratio as exponential_ratio,
        inverse_sigmoid_ratio as inverse_sigmoid_ratio,
        linear_ratio as linear_ratio,
    )
    from common.decoding.search import (
        BeamSearch as BeamSearch,
        Greedy as Greedy,
        Sampling as Sampling,
        Search as Search,
    )
    from common.decoding.step_model import (
        Step as Step,
        StepModel as StepModel,
    )
    from common.decoding.unrolling import Unrolled as Unrolled

__all__, __getattr__ = handing_on(__name__, __file__)
