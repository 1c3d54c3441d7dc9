"""Constraints hold in every search, and a search always answers."""

from __future__ import annotations

import itertools
import math
from functools import partial

from hypothesis import given, strategies as st

from tests.common.decoding.fake_models import (
    BOS,
    EOS,
    PAD,
    RandomModel,
    TableModel,
    beam_search,
    contexts,
    greedy,
    one,
    quick,
    repeats,
    sample,
)
from tests.devices import generator
from tests.tolerances import same_log_probability


@quick
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 3),
    low=st.integers(0, 6),
    extra=st.integers(0, 6),
    unknown=st.booleans(),
    searcher=st.sampled_from(["beam", "sample", "greedy"]),
)
def test_constraints_hold(seed, n, low, extra, unknown, searcher):
    high = max(1, low + extra)
    model = RandomModel(20, seed, ending=3.0)
    model.bias[PAD] = model.bias[BOS] = model.bias[3] = 4.0  # what is forbidden is likely
    forbidden = (PAD, BOS, 3) if unknown else (PAD, BOS)
    options = {"forbidden": forbidden, "no_repeat_ngram": n}
    options |= {"min_length": low, "max_length": high}
    searches = {
        "beam": partial(beam_search, beam_size=4, n_best=4),
        "greedy": greedy,
        "sample": partial(sample, num_samples=4, temperature=2.0, generator=generator(seed)),
    }
    found = searches[searcher](model, contexts(3, seed), **options)
    for h in itertools.chain.from_iterable(found):
        assert low <= len(h.tokens) <= high
        assert not {*h.tokens} & {EOS, *forbidden}
        assert not repeats(tuple(h.tokens), n)
        assert h.finished or len(h.tokens) == high


def test_a_model_that_never_ends_still_answers():
    """Greedy search, beam search and samples are cut off at the maximum."""
    table = {BOS: {3: 1.0}, 3: {3: 0.75, 4: 0.25}, 4: {3: 1.0}}
    model = TableModel(table, 5)
    (found,) = greedy(model, one(), max_length=50)
    assert (found[0].tokens, found[0].finished) == ([3] * 50, False)
    expected = 49 * math.log(0.75)
    assert found[0].score == same_log_probability(expected, terms=5 + 50)
    (found,) = beam_search(model, one(), max_length=50, beam_size=3, n_best=3, length_penalty=1.0)
    assert len(found) == 3 and not any(h.finished for h in found)
    assert found[0].score == same_log_probability(expected / 50, terms=5 + 50)
    (found,) = sample(model, one(), max_length=50, num_samples=2)
    assert [len(h.tokens) for h in found] == [50, 50]


def test_a_dead_end_answers_with_the_tokens_so_far():
    """No word twice: after two words, no token is allowed."""
    table = {BOS: {3: 1.0}, 3: {4: 1.0}, 4: {3: 1.0}}
    (found,) = beam_search(
        TableModel(table, 5), one(), max_length=9, no_repeat_ngram=1, beam_size=3
    )
    assert (found[0].tokens, found[0].finished, found[0].log_probability) == ([3, 4], False, 0.0)
    (found,) = beam_search(TableModel(table, 5), one(), forbidden=(3,), max_length=9)
    assert (found[0].tokens, found[0].finished) == ([], False)
    (found,) = sample(TableModel(table, 5), one(), max_length=9, no_repeat_ngram=1, num_samples=3)
    assert [(h.tokens, h.finished) for h in found] == [([3, 4], False)] * 3
