"""Search against exhaustive search, and against a slow, plain beam search."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import assume, given, strategies as st

from tests.common.decoding.fake_models import (
    BOS,
    EOS,
    PAD,
    RandomModel,
    Rows,
    beam_search,
    contexts,
    greedy,
    log_probabilities,
    one_row,
    quick,
    repeats,
    rescored,
    sample,
    words_of,
)
from tests.devices import generator
from tests.tolerances import rounding, same_log_probability


def plain_beam_search(
    model,
    context: Rows,
    *,
    beam_size: int,
    n_best: int,
    penalty,
    max_length: int,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
):
    """The same search of one sentence, one hypothesis at a time, never stopping early.

    Returns:
        the answers, best first; and the smallest difference of scores that decided an order.
    """
    closest = math.inf
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished, cut_off = [], []
    for length in range(max_length + 1):
        candidates = []
        for total, prefix in live:
            for token, value in enumerate(log_probabilities(model, context, prefix)):
                if token in (PAD, BOS) or (token == EOS and length < min_length):
                    continue
                if token != EOS and repeats((*prefix, token), no_repeat_ngram):
                    continue
                if value > -math.inf:
                    candidates.append((total + value, (*prefix, token)))
        ranked = sorted(candidates, reverse=True)
        best = ranked[:beam_size]
        closest = min([closest, *gaps(ranked[beam_size - 1 : beam_size + 1])])
        ended = {words[:-1]: total for total, words in best if words[-1] == EOS}
        finished += [
            (total / penalty(length + 1), total, words, True) for words, total in ended.items()
        ]
        before = [(t / penalty(max(1, length)), t, w, False) for t, w in live if w not in ended]
        live = [(total, words) for total, words in best if words[-1] != EOS]
        if not live or length == max_length:
            cut_off = before
            break
    finished.sort(reverse=True)
    cut_off.sort(reverse=True)
    closest = min([closest, *gaps(finished[: n_best + 1]), *gaps(cut_off[: n_best + 1])])
    return (finished + cut_off)[:n_best], closest


def gaps(ranked: list[tuple]) -> list[float]:
    return [better[0] - worse[0] for better, worse in itertools.pairwise(ranked)]


def every_sentence(model, context: Rows, max_length: int, penalty):
    """All sentences of up to max_length words, best first: score, log-probability, words."""
    words = [word for word in range(model.vocabulary) if word not in (PAD, BOS, EOS)]
    found = []
    totals = {(): 0.0}
    for length in range(max_length + 1):
        grown = {}
        for prefix, total in totals.items():
            values = log_probabilities(model, context, prefix)
            found.append(((total + values[EOS]) / penalty(length + 1), total + values[EOS], prefix))
            grown |= {(*prefix, word): total + values[word] for word in words}
        totals = grown
    return sorted(found, reverse=True)


PENALTIES = {0.0: lambda n: 1.0, 0.7: lambda n: n**0.7, 1.0: float}
PENALTIES[("gnmt", 0.9)] = lambda n: ((5 + n) / 6) ** 0.9


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("seed", range(6))
def test_wide_beam_equals_exhaustive_search(seed, penalty):
    model = RandomModel(6, seed)
    context = contexts(3, seed)
    found = beam_search(
        model, context, max_length=4, beam_size=600, n_best=25, length_penalty=penalty
    )
    for sentence, hypotheses in enumerate(found):
        row = one_row(context, sentence)
        every = every_sentence(model, row, 4, PENALTIES[penalty])
        by_words = {words: (score, total) for score, total, words in every}
        found_words = [tuple(h.tokens) for h in hypotheses]
        assert len(set(found_words)) == 25
        # The scores in order; and that of each sentence: two that nearly tie may change places.
        in_order = [score for score, _, _ in every[:25]]
        for scores in (in_order, [by_words[words][0] for words in found_words]):
            assert [h.score for h in hypotheses] == same_log_probability(scores, terms=6 + 5)
        totals = [by_words[words][1] for words in found_words]
        assert [h.log_probability for h in hypotheses] == same_log_probability(totals, terms=6 + 5)
        assert all(h.finished for h in hypotheses)


@quick
@given(
    seed=st.integers(0, 10_000),
    beam_size=st.integers(1, 5),
    penalty=st.sampled_from(list(PENALTIES)),
    ending=st.sampled_from([-4.0, 0.0, 2.0]),
    no_repeat_ngram=st.integers(0, 3),
    lengths=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5)).map(lambda p: (p[0], max(1, sum(p)))),
        min_size=1,
        max_size=4,
    ),
    prune=st.booleans(),
    data=st.data(),
)
def test_equals_plain_beam_search(
    seed, beam_size, penalty, ending, no_repeat_ngram, lengths, prune, data
):
    n_best = data.draw(st.integers(1, beam_size))
    model = RandomModel(8, seed, ending=ending, sharp=1.0)
    context = contexts(len(lengths), seed)
    options = {"beam_size": beam_size, "n_best": n_best, "no_repeat_ngram": no_repeat_ngram}
    low, high = (list(bounds) for bounds in zip(*lengths, strict=True))
    found = beam_search(
        model, context, **options, prune=prune, length_penalty=penalty,
        min_length=low, max_length=torch.tensor(high),
    )  # fmt: skip
    assert len(found) == len(lengths)
    for sentence, (hypotheses, (low, high)) in enumerate(zip(found, lengths, strict=True)):
        row = one_row(context, sentence)
        bounds = {"max_length": high, "min_length": low}
        expected, closest = plain_beam_search(
            model, row, **options, **bounds, penalty=PENALTIES[penalty]
        )
        # What is closer than the rounding of float32 may be decided either way.
        assume(closest > 10 * rounding(8 + 6))  # of log-probabilities above -10
        got = [(tuple(h.tokens), h.finished) for h in hypotheses]
        assert got == [(words, finished) for _, _, words, finished in expected]
        for name, values in (("score", 0), ("log_probability", 1)):
            found_values = [getattr(h, name) for h in hypotheses]
            assert found_values == same_log_probability([e[values] for e in expected], terms=8 + 6)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_whatever_the_length_penalty(seed):
    """An early end is final for greedy search, even if the penalty prefers longer sentences."""
    model, context = RandomModel(30, seed, ending=2.0), contexts(7, seed)
    found = greedy(model, context, max_length=12)
    assert found == beam_search(model, context, max_length=12, beam_size=1)
    penalised = greedy(model, context, max_length=12, length_penalty=2.0)
    assert words_of(found) == words_of(penalised)


@pytest.mark.parametrize("seed", range(4))
def test_log_probability_is_the_models_own(seed):
    """Whatever the constraints and the search."""
    model, context = RandomModel(12, seed), contexts(4, seed)
    options = {"max_length": 6, "min_length": 2, "no_repeat_ngram": 1}
    sampling = {"num_samples": 3, "temperature": 0.7, "top_k": 5, "generator": generator(seed)}
    for found in (
        beam_search(model, context, **options, n_best=3, length_penalty=1.0),
        sample(model, context, **options, **sampling),
    ):
        for sentence, hypotheses in enumerate(found):
            row = one_row(context, sentence)
            for h in hypotheses:
                expected = rescored(model, row, h.tokens, finished=h.finished)
                assert h.log_probability == same_log_probability(expected, terms=12 + 7)
