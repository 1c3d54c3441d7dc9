"""From a context to sentences: greedy, sampling and beam search over any step function.

The three are one loop (`frontier.py`) and differ in one choice: which continuations of a sentence's
hypotheses live on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from common.decoding.constraints import Lengths
from common.decoding.frontier import Continuations, run_search
from common.decoding.hypotheses import Hypothesis
from common.decoding.length_penalty import LengthPenalty, gnmt, power
from common.decoding.step_model import ContextT, StepModel

__all__ = ["Hypothesis", "StepModel", "beam_search", "gnmt", "greedy", "power", "sample"]


def greedy(
    model: StepModel[ContextT],
    context: ContextT,
    *,
    bos: int,
    eos: int,
    max_length: Lengths,
    min_length: Lengths = 0,
    forbidden: Sequence[int] = (),
    no_repeat_ngram: int = 0,
    length_penalty: float | LengthPenalty = 0.0,
    prune: bool = True,
) -> list[list[Hypothesis]]:
    """Say the likeliest token at every step: exactly beam search with a beam of one.

    Arguments as in `beam_search`.

    Returns:
        for each sentence a list of one hypothesis.
    """
    return beam_search(
        model,
        context,
        bos=bos,
        eos=eos,
        max_length=max_length,
        beam_size=1,
        min_length=min_length,
        forbidden=forbidden,
        no_repeat_ngram=no_repeat_ngram,
        length_penalty=length_penalty,
        prune=prune,
    )


def beam_search(
    model: StepModel[ContextT],
    context: ContextT,
    *,
    bos: int,
    eos: int,
    max_length: Lengths,
    beam_size: int = 5,
    n_best: int = 1,
    length_penalty: float | LengthPenalty = 0.0,
    min_length: Lengths = 0,
    forbidden: Sequence[int] = (),
    no_repeat_ngram: int = 0,
    patience: float | None = None,
    prune: bool = True,
) -> list[list[Hypothesis]]:
    """Find the likeliest sentences by keeping, at every step, the best continuations of the best.

    At every step the `beam_size` likeliest continuations of a sentence's hypotheses are kept; those
    that are eos have ended, the others go on. So a beam of one is greedy search, and a beam as wide
    as the number of possible sentences is exact. A sentence is done when no hypothesis that goes on
    can still beat its `n_best` finished ones, whatever it says and however long it grows.

    Args:
        model: gives the next token's logits.
        context: B encoded inputs.
        bos, eos: the tokens that start and end every sentence.
        max_length: most tokens of a sentence, eos not counted; one number, or one per sentence.
        beam_size: hypotheses kept per sentence.
        n_best: answers per sentence, at most `beam_size`.
        length_penalty: hypotheses are ranked by log-probability / length ** length_penalty, where
            length counts eos: 0 ranks by probability, 1 by the mean per token. Or a function, as
            `gnmt` gives. The larger it is, the longer an exact search must go on: see `patience`.
        min_length: fewest tokens of a sentence, like `max_length`.
        forbidden: tokens that are never said: pad and bos, and unk where it is unwelcome.
        no_repeat_ngram: no n-gram of this many tokens occurs twice in a sentence; 0 is off.
        patience: a sentence is done, too, once `patience * beam_size` of its hypotheses (`n_best`
            at least) have ended, even if another could still beat them (Kasai et al. 2022); None
            searches on until none can. Under a large penalty the last hope dies slowly: a patience
            of 2 saves a quarter of the time and rarely changes an answer.
        prune: take sentences that are done out of the batch. The answers do not depend on it.

    Returns:
        for each of the B sentences its hypotheses, best first, no two alike: finished ones and, if
        fewer than `n_best` have ended, the best that were cut off. At least one, always.

    Raises:
        ValueError: arguments out of range, or the model's logits are not numbers.
    """
    if not 1 <= n_best <= beam_size:
        raise ValueError(f"n_best must be between 1 and beam_size ({beam_size}), not {n_best}")
    if patience is not None and not patience >= 0:
        raise ValueError(f"patience must not be negative, not {patience}")
    stop_after = None if patience is None else max(n_best, math.ceil(patience * beam_size))
    return run_search(
        model,
        context,
        partial(_choose_best, beam_size=beam_size),
        bos=bos,
        eos=eos,
        max_length=max_length,
        min_length=min_length,
        forbidden=forbidden,
        no_repeat_ngram=no_repeat_ngram,
        length_penalty=length_penalty,
        n_best=n_best,
        stop_after=stop_after,
        prune=prune,
    )


def sample(
    model: StepModel[ContextT],
    context: ContextT,
    *,
    bos: int,
    eos: int,
    max_length: Lengths,
    num_samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    length_penalty: float | LengthPenalty = 0.0,
    min_length: Lengths = 0,
    forbidden: Sequence[int] = (),
    no_repeat_ngram: int = 0,
    prune: bool = True,
) -> list[list[Hypothesis]]:
    """Draw every token from the model's distribution.

    Arguments as in `beam_search`, and:

    Args:
        num_samples: independent samples of each sentence; two may be alike.
        temperature: logits are divided by it; below 1 likely tokens become likelier.
        top_k: draw from the k likeliest tokens only.
        top_p: draw from the fewest likeliest tokens that together have this probability, after
            temperature and `top_k` (nucleus sampling, Holtzman et al. 2020).
        generator: source of the random numbers, on the model's device. The same generator state,
            contexts and arguments (`prune` among them) give the same samples.

    Returns:
        for each sentence its samples, finished ones first, each kind by falling score.

    Raises:
        ValueError: arguments out of range, or the model's logits are not numbers.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, not {num_samples}")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}; see greedy()")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")
    choose = partial(
        _choose_by_lot,
        num_samples=num_samples,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        generator=generator,
    )
    return run_search(
        model,
        context,
        choose,
        bos=bos,
        eos=eos,
        max_length=max_length,
        min_length=min_length,
        forbidden=forbidden,
        no_repeat_ngram=no_repeat_ngram,
        length_penalty=length_penalty,
        n_best=num_samples,
        stop_after=None,
        prune=prune,
    )


def _choose_best(log_probs: Tensor, so_far: Tensor, *, beam_size: int) -> Continuations:
    """The `beam_size` likeliest continuations of each sentence, likeliest first."""
    per_hypothesis = min(beam_size, log_probs.shape[2])
    # No continuation outside the best few of its own hypothesis can be among the best few of all.
    log_probs, tokens = log_probs.topk(per_hypothesis, dim=2)  # (A, W, K)
    totals = (log_probs + so_far[..., None]).flatten(1)  # (A, W * K)
    totals, places = totals.topk(min(beam_size, totals.shape[1]), dim=1)  # (A, W')
    return Continuations(totals, places // per_hypothesis, tokens.flatten(1).gather(1, places))


def _choose_by_lot(
    log_probs: Tensor,
    so_far: Tensor,
    *,
    num_samples: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    generator: torch.Generator | None,
) -> Continuations:
    """One continuation of each sample, drawn."""
    sentences, width, vocabulary = log_probs.shape
    # At the first step every sample grows out of the one empty hypothesis.
    parents = torch.arange(num_samples, device=log_probs.device).clamp(max=width - 1)
    log_probs = log_probs.expand(-1, num_samples, -1)  # (A, S, V)
    choices, tokens = log_probs / temperature, None
    if top_k is not None and top_k < vocabulary:
        choices, tokens = choices.topk(top_k, dim=2)
    if top_p < 1:
        choices, places = _nucleus(choices, top_p)
        tokens = places if tokens is None else tokens.gather(2, places)
    # One uniform number per row, looked up in the sums of the probabilities: what has none is
    # never met. (Where nothing can be said, anything is drawn; its log-probability says so.)
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
    """The fewest likeliest tokens that together have probability `top_p`, and where they stood.

    Args:
        choices: (A, S, V) log-probabilities, up to a constant per row.

    Returns:
        (A, S, N) those of the nucleus, falling, then minus infinity; (A, S, N) their places.
    """
    vocabulary = choices.shape[2]
    total = choices.logsumexp(2, keepdim=True)
    # Sorting a whole vocabulary is slow on a CPU, and a nucleus is mostly small: try a few tokens
    # first. To see whether they suffice, the host would have to wait for a GPU, which sorts fast.
    sizes = (64, 512, vocabulary) if choices.device.type == "cpu" else (vocabulary,)
    for size in sizes:
        likeliest, places = choices.topk(min(size, vocabulary), dim=2)
        probabilities = (likeliest - total).exp()
        sums = probabilities.cumsum(2)
        if size >= vocabulary or bool((sums[..., -1] >= top_p).all()):
            break
    return likeliest.masked_fill(sums - probabilities >= top_p, -math.inf), places
