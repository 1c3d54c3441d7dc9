"""Sentences that begin as they are told to: in every search, at the model's own probability."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, strategies as st

from common.decoding import Forbidden
from tests.common.decoding.fake_models import (
    CAT,
    DOG,
    EOS,
    RUNS,
    THE,
    A,
    RandomModel,
    beam_search,
    contexts,
    greedy,
    one,
    one_row,
    quick,
    rescored,
    sample,
    story,
    words_of,
)
from tests.devices import generator
from tests.tolerances import same_log_probability

SEARCHES = {
    "beam": partial(beam_search, beam_size=3, n_best=3),
    "greedy": greedy,
    "sample": partial(sample, num_samples=3, temperature=1.5),
    "nucleus": partial(sample, num_samples=3, top_k=4, top_p=0.8),
}


@quick
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    n=st.integers(0, 2),
    name=st.sampled_from(sorted(SEARCHES)),
)
def test_every_hypothesis_begins_with_its_prefix_and_keeps_its_probability(seed, lengths, n, name):
    model, context = RandomModel(12, seed, ending=1.0), contexts(3, seed)
    # The prefix may repeat a token, and have one that is never written otherwise.
    words = torch.randint(3, 6, (3, 4), generator=generator(seed)).tolist()
    prefixes = [row[:length] for row, length in zip(words, lengths, strict=True)]
    options = {"max_length": 8, "min_length": 2, "no_repeat_ngram": n, "forbidden": (0, 1, 4)}
    if name in ("sample", "nucleus"):
        options["generator"] = generator(seed)
    found = SEARCHES[name](model, context, prefixes=prefixes, keep_attention=True, **options)
    for row, (best, prefix) in enumerate(zip(found, prefixes, strict=True)):
        assert best
        for each in best:
            assert each.tokens[: len(prefix)] == prefix
            assert 4 not in each.tokens[len(prefix) :] and len(each.tokens) <= 8
            assert len(each.attention) == len(each.tokens) + each.finished
            assert each.attention[:, 0].tolist() == list(range(len(each.attention)))
            expected = rescored(model, one_row(context, row), each.tokens, finished=each.finished)
            assert each.log_probability == same_log_probability(expected, terms=12 + 9)


@quick
@given(seed=st.integers(0, 10_000), prune=st.booleans())
def test_a_sentence_with_a_prefix_is_the_same_alone_and_in_any_batch(seed, prune):
    model, context = RandomModel(12, seed, ending=1.0), contexts(3, seed)
    prefixes = [[5, 5, 7], [], [9]]
    options = {"beam_size": 4, "n_best": 2, "max_length": 7}
    together = beam_search(model, context, prefixes=prefixes, prune=prune, **options)
    for row, prefix in enumerate(prefixes):
        alone = beam_search(model, one_row(context, row), prefixes=[prefix], **options)
        assert words_of(alone) == words_of(together[row : row + 1])
    without = beam_search(model, context, **options)
    nothing = beam_search(model, context, prefixes=[[], [], []], **options)
    assert nothing == without


def test_an_exact_search_finds_the_best_sentence_of_those_that_begin_so():
    (found,) = beam_search(story(), one(), beam_size=50, n_best=1, prefixes=[[A, DOG]])
    assert found[0].tokens == [A, DOG, RUNS, 9]  # not "the dog", which is likelier
    (found,) = beam_search(story(), one(), beam_size=50, prefixes=[[THE]], max_length=1)
    assert (found[0].tokens, found[0].finished) == ([THE], True)
    (found,) = greedy(story(), one(), prefixes=[[A, CAT]], max_length=2)
    assert (found[0].tokens, found[0].finished) == ([A, CAT], False)


def test_what_is_forbidden_may_be_in_a_prefix_and_the_end_may_not_come_before_its_end():
    never = Forbidden((DOG,))
    (found,) = greedy(story(), one(), prefixes=[[THE, DOG]], constraints=[never])
    assert found[0].tokens[:2] == [THE, DOG]
    model = RandomModel(6, 0, ending=50.0)  # which always ends at once
    (found,) = greedy(model, contexts(1), prefixes=[[3, 3, 4]])
    assert found[0].tokens == [3, 3, 4] and found[0].finished and EOS not in found[0].tokens


def test_prefixes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 prefixes for 1 sentences"):
        greedy(story(), one(), prefixes=[[A], [A]])
    with pytest.raises(ValueError, match=r"a prefix of 3 tokens is longer than max_length \(2\)"):
        greedy(story(), one(), prefixes=[[A, DOG, RUNS]], max_length=2)
