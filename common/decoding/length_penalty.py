"""How hypotheses of different lengths are compared."""

from __future__ import annotations

from collections.abc import Callable

LengthPenalty = Callable[[int], float]
"""How many tokens were scored, eos included -> what the log-probability is divided by. Positive,
and never smaller for a longer sentence: when a sentence may stop depends on it."""


def power(alpha: float) -> LengthPenalty:
    """length ** alpha: 0 ranks by probability, 1 by the mean log-probability of a token."""
    if not alpha >= 0:
        raise ValueError(f"the exponent of the length must not be negative, not {alpha}")
    return lambda length: length**alpha


def gnmt(alpha: float) -> LengthPenalty:
    """((5 + length) / 6) ** alpha, milder on short sentences (Wu et al. 2016, eq. 14)."""
    if not alpha >= 0:
        raise ValueError(f"the exponent of the length must not be negative, not {alpha}")
    return lambda length: ((5 + length) / 6) ** alpha
