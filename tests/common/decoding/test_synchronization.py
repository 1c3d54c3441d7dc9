"""The answers do not depend on how often the host synchronizes with a GPU, only its waits do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st

from common.decoding import frontier
from common.decoding.frontier import SYNCHRONIZE_EVERY, Frontier
from tests.common.decoding.fake_models import (
    RandomModel,
    beam_search,
    contexts,
    greedy,
    quick,
    sample,
    words_of,
)
from tests.devices import generator


def answers(search, options, *, seed, batch, ending, monkeypatch, seldom):
    """The answers, the number of steps, and how many steps were pending at each synchronization."""
    waits = []
    original = Frontier.synchronize

    def synchronize(self):
        waits.append(len(self.pending))
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(frontier, "is_gpu", lambda device: seldom)
        patch.setattr(Frontier, "synchronize", synchronize)
        context = contexts(batch, seed)
        found = search(RandomModel(11, seed, ending=ending), context, **options)
    return found, len(context.steps), waits


@quick
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 5),
    ending=st.sampled_from([-2.0, 1.0, 4.0]),
    beam=st.integers(1, 4),
    penalty=st.sampled_from([0.0, 0.7, 1.0, ("gnmt", 1.4)]),
    patience=st.sampled_from([None, 0.0, 1.0, 2.0]),
    prune=st.booleans(),
    lengths=st.integers(1, 9),
    shortest=st.integers(0, 1),
)
def test_a_beam_search_finds_the_same(
    seed, batch, ending, beam, penalty, patience, prune, lengths, shortest
):
    options = {
        "beam_size": beam, "n_best": max(1, beam - 1), "length_penalty": penalty,
        "beam_patience": patience, "prune": prune, "no_repeat_ngram": 2, "keep_attention": True,
        "min_length": [shortest] * batch,
        "max_length": [max(1, lengths - row) for row in range(batch)],
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        case = {"seed": seed, "batch": batch, "ending": ending, "monkeypatch": patch}
        often, steps, waits = answers(beam_search, options, **case, seldom=False)
        seldom, more_steps, few_waits = answers(beam_search, options, **case, seldom=True)
    assert words_of(seldom) == words_of(often)
    assert [[h.finished for h in s] for s in seldom] == [[h.finished for h in s] for s in often]
    for ours, expected in zip(sum(seldom, []), sum(often, []), strict=True):
        assert torch.allclose(ours.attention, expected.attention, rtol=1e-5, atol=1e-5)
        # A batch that is pruned later multiplies matrices of other sizes.
        assert ours.score == pytest.approx(expected.score, rel=1e-5, abs=1e-5)
        assert ours.log_probability == pytest.approx(expected.log_probability, rel=1e-5, abs=1e-5)
    assert waits == [1] * steps
    assert few_waits == [SYNCHRONIZE_EVERY] * (more_steps // SYNCHRONIZE_EVERY)
    assert steps <= more_steps < steps + SYNCHRONIZE_EVERY


def test_greedy_and_sampling_find_the_same(monkeypatch):
    case = {"seed": 3, "batch": 4, "ending": 0.0, "monkeypatch": monkeypatch}
    options = {"max_length": [3, 9, 6, 1], "prune": False}

    def drawn(*arguments, **others):
        return sample(*arguments, num_samples=3, generator=generator(5), **others)

    for search in (greedy, drawn):
        often, seldom = (answers(search, options, **case, seldom=s)[0] for s in (False, True))
        assert often == seldom


def test_logits_that_are_not_numbers_are_refused_at_the_next_synchronization(monkeypatch):
    def search(model, context, **options):
        model.out[:] = torch.nan
        return beam_search(model, context, **options)

    case = {"seed": 0, "batch": 2, "ending": 0.0, "monkeypatch": monkeypatch}
    with pytest.raises(ValueError, match="not numbers"):
        answers(search, {"max_length": 9}, **case, seldom=True)
