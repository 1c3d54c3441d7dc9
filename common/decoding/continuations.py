"""Which continuations of a sentence's hypotheses are kept: the best, or sampled ones."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Continuations(NamedTuple):
    """What a strategy chose among the next tokens of each sentence's hypotheses.

    Args:
        log_probabilities: (A, W') of the continued hypotheses; minus infinity where there is none.
        parents: (A, W') which of the W hypotheses of its sentence each continues.
        tokens: (A, W') the token that continues it.
    """

    log_probabilities: Tensor
    parents: Tensor
    tokens: Tensor


def choose_best(log_probs: Tensor, so_far: Tensor, *, beam_size: int) -> Continuations:
    """The `beam_size` likeliest continuations of each sentence, likeliest first."""
    per_hypothesis = min(beam_size, log_probs.shape[2])
    # The best of all are among the best of each hypothesis.
    log_probs, tokens = log_probs.topk(per_hypothesis, dim=2)  # (A, W, K)
    totals = (log_probs + so_far[..., None]).flatten(1)  # (A, W * K)
    totals, places = totals.topk(min(beam_size, totals.shape[1]), dim=1)  # (A, W')
    return Continuations(totals, places // per_hypothesis, tokens.flatten(1).gather(1, places))


def choose_sampled(
    log_probs: Tensor,
    so_far: Tensor,
    *,
    num_samples: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    generator: torch.Generator | None,
) -> Continuations:
    """One continuation of each sample, sampled from the distribution."""
    sentences, width, vocabulary = log_probs.shape
    # At the first step every sample continues the one empty hypothesis.
    parents = torch.arange(num_samples, device=log_probs.device).clamp(max=width - 1)
    log_probs = log_probs.expand(-1, num_samples, -1)  # (A, S, V)
    choices, tokens = log_probs / temperature, None
    if top_k is not None and top_k < vocabulary:
        choices, tokens = choices.topk(top_k, dim=2)
    if top_p < 1:
        choices, places = _nucleus(choices, top_p)
        tokens = places if tokens is None else tokens.gather(2, places)
    # One uniform number per row, looked up in the cumulative probabilities: a token of probability 0
    # is never drawn. (Where all are 0, any is drawn; its log-probability is minus infinity.)
    sums = choices.softmax(2).cumsum(2)
    numbers = torch.rand(
        sentences, num_samples, 1, generator=generator, device=sums.device, dtype=sums.dtype
    )
    drawn = torch.searchsorted(sums, numbers * sums[..., -1:], right=True)  # (A, S, 1)
    drawn = drawn.clamp(max=choices.shape[2] - 1)
    if tokens is not None:
        drawn = tokens.gather(2, drawn)
    totals = so_far[:, parents] + log_probs.gather(2, drawn)[..., 0]
    return Continuations(totals, parents.expand(sentences, -1), drawn[..., 0])


def _nucleus(choices: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The fewest likeliest tokens that together have probability `top_p`, and their places.

    Args:
        choices: (A, S, V) log-probabilities, up to a constant per row.

    Returns:
        (A, S, N) those of the nucleus, falling, then minus infinity; (A, S, N) their places.
    """
    vocabulary = choices.shape[2]
    total = choices.logsumexp(2, keepdim=True)
    # Sorting a whole vocabulary is slow on a CPU, and most nuclei are small: try a few tokens first.
    # A GPU sorts fast, and the host would have to wait for it to see whether they suffice.
    sizes = (64, 512, vocabulary) if choices.device.type == "cpu" else (vocabulary,)
    for size in sizes:
        likeliest, places = choices.topk(min(size, vocabulary), dim=2)
        probabilities = (likeliest - total).exp()
        sums = probabilities.cumsum(2)
        if size >= vocabulary or bool((sums[..., -1] >= top_p).all()):
            break
    return likeliest.masked_fill(sums - probabilities >= top_p, -math.inf), places
