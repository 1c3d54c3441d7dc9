"""Search against arithmetic; pruning; logits that are refused."""

from __future__ import annotations

import math

import pytest
import torch

from common.decoding.search import LONGEST, Greedy
from common.decoding.step_model import Step
from tests.common.decoding.fake_models import (
    BOS,
    CAT,
    DOG,
    EOS,
    FAST,
    RUNS,
    SLEEPS,
    THE,
    A,
    RandomModel,
    Rows,
    TableModel,
    beam_search,
    contexts,
    greedy,
    one,
    one_row,
    rescored,
    sample,
    story,
    words_of,
)
from tests.tolerances import same_log_probability


def assert_steps(context: Rows, expected: int) -> None:
    """A search on a CPU ends at once; on a GPU it may take some steps more."""
    steps = len(context.steps)
    assert steps == expected or (context.rows.device.type != "cpu" and steps > expected)


def assert_answers(found, expected) -> None:
    """expected: (words, probability) of each hypothesis, best first."""
    assert [hypothesis.tokens for hypothesis in found] == [words for words, _ in expected]
    for hypothesis, (_, probability) in zip(found, expected, strict=True):
        expected = math.log(probability)
        assert hypothesis.log_probability == same_log_probability(expected, terms=10 + 5)


STORIES = [  # all sentences of the story above .06, best first
    ([A, CAT, SLEEPS], 0.4 * 0.9 * 0.75 * 0.9),
    ([THE, CAT, SLEEPS], 0.6 * 0.4 * 0.75 * 0.9),
    ([THE, DOG, RUNS, FAST], 0.6 * 0.5 * 0.5 * 0.6),
    ([THE, DOG, SLEEPS], 0.6 * 0.5 * 0.3 * 0.9),
]


def test_greedy_follows_the_likeliest_word():
    (found,) = greedy(story(), one(), max_length=10)
    assert_answers(found, [STORIES[2]])
    assert found[0].finished


# Step 2 of a beam of two keeps "a cat" (.36) and "the dog" (.30), and drops "the cat" (.24).
@pytest.mark.parametrize(
    ("beam_size", "expected"), [(2, [0, 2]), (3, [0, 1, 2]), (40, [0, 1, 2, 3])]
)
def test_a_wider_beam_finds_more(beam_size, expected):
    (found,) = beam_search(story(), one(), max_length=10, beam_size=beam_size, n_best=len(expected))
    assert_answers(found, [STORIES[i] for i in expected])


# "a" ends at once with .55; "b c c c" is certain once begun, with .45.
B_, C1, C2, C3 = 4, 5, 6, 7
SHORT_OR_LONG = {BOS: {3: 0.55, B_: 0.45}, 3: {EOS: 1.0}}
SHORT_OR_LONG |= {B_: {C1: 1.0}, C1: {C2: 1.0}, C2: {C3: 1.0}, C3: {EOS: 1.0}}


@pytest.mark.parametrize(
    ("length_penalty", "words", "score"),
    [
        (0.0, [3], math.log(0.55)),
        (1.0, [B_, C1, C2, C3], math.log(0.45) / 5),
        (0.5, [B_, C1, C2, C3], math.log(0.45) / math.sqrt(5)),
        (0.2, [3], math.log(0.55) / 2**0.2),
        (("gnmt", 1.0), [B_, C1, C2, C3], math.log(0.45) / (10 / 6)),
        (("gnmt", 0.1), [3], math.log(0.55) / (7 / 6) ** 0.1),
    ],
)
def test_length_penalty_by_arithmetic(length_penalty, words, score):
    model = TableModel(SHORT_OR_LONG, 8)
    (found,) = beam_search(model, one(), max_length=10, beam_size=2, length_penalty=length_penalty)
    assert found[0].tokens == words
    assert found[0].score == same_log_probability(score, terms=8 + 5)


def test_stops_exactly_when_nothing_can_win():
    """Without normalisation .45 cannot beat the finished .55; with it, it can, and does."""
    model = TableModel(SHORT_OR_LONG, 8)
    for alpha, steps in ((0.0, 2), (1.0, 5)):
        context = one()
        beam_search(model, context, max_length=10, beam_size=2, length_penalty=alpha)
        assert_steps(context, steps)
    context = one()
    (found,) = beam_search(
        model, context, max_length=10, beam_size=2, length_penalty=1.0, beam_patience=0.5
    )
    assert found[0].tokens == [3]
    assert_steps(context, 2)


def test_patience_never_returns_fewer_than_n_best():
    model, context = RandomModel(9, 0), contexts(2)
    options = {"max_length": 6, "beam_size": 4, "n_best": 4}
    for patience in (0.0, 0.5, 2.0, None):
        found = beam_search(model, context, beam_patience=patience, **options)
        assert [len(best) for best in found] == [4, 4]
    # Twice the beam size have ended, or no other can be better: with none of it, it is exact.
    exact = beam_search(model, context, beam_patience=None, **options)
    assert beam_search(model, context, beam_patience=100.0, **options) == exact


def test_the_best_possible_score_of_a_sentence_depends_on_its_own_maximum():
    """Over 5 ** .5 the long sentence wins; cut at two words, it would be divided by 3 ** .5 at most."""
    context = Rows(torch.zeros(3, 1))
    options = {"max_length": [2, 4, 10], "beam_size": 2, "length_penalty": 0.5}
    found = beam_search(TableModel(SHORT_OR_LONG, 8), context, **options)
    assert [h[0].tokens for h in found] == [[3], [B_, C1, C2, C3], [B_, C1, C2, C3]]
    assert context.selections == [2]
    assert_steps(context, 5)


def test_the_end_token_counts_towards_the_greatest_length():
    """With .37 the long sentence wins by its fifth token, eos: over 4 ** .37 it would lose."""
    (found,) = beam_search(
        TableModel(SHORT_OR_LONG, 8), one(), max_length=4, beam_size=2, length_penalty=0.37
    )
    assert found[0].tokens == [B_, C1, C2, C3]


def test_complete_and_cut_off_sentences_are_not_mixed():
    """Room for three words: whatever is longer is cut off, and comes after all that ended."""
    (found,) = beam_search(story(), one(), max_length=2, beam_size=2, n_best=2)
    # The third step's best two continuations are words, so neither hypothesis ends.
    assert_answers(found, [([A, CAT], 0.36), ([THE, DOG], 0.30)])
    assert [hypothesis.finished for hypothesis in found] == [False, False]
    (found,) = beam_search(story(), one(), max_length=3, beam_size=2, n_best=2)
    assert_answers(found, [([A, CAT, SLEEPS], 0.243), ([THE, DOG, RUNS], 0.15)])
    assert [hypothesis.finished for hypothesis in found] == [True, False]


def test_one_prefix_is_not_both_ended_and_cut_off():
    table = {BOS: {3: 1.0}, 3: {3: 0.5, EOS: 0.5}}
    (found,) = beam_search(TableModel(table, 4), one(), max_length=2, beam_size=4, n_best=4)
    assert_answers(found, [([3], 0.5), ([3, 3], 0.25)])
    assert all(hypothesis.finished for hypothesis in found)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_pruning_saves_rows_and_changes_nothing(beam_size):
    model = RandomModel(25, 2, ending=1.5)
    pruned, whole = contexts(16), contexts(16)
    options = {"max_length": [6, 20] * 8, "beam_size": beam_size, "length_penalty": 0.5}
    found = beam_search(model, pruned, **options)
    expected = beam_search(model, whole, **options, prune=False)
    assert words_of(found) == words_of(expected)
    assert pruned.selections and not whole.selections
    assert len(pruned.steps) == len(whole.steps)
    assert sum(pruned.steps) < sum(whole.steps)
    # The context's rows only ever become fewer, and every step serves those that are left.
    assert pruned.selections == sorted(pruned.selections, reverse=True)
    assert whole.steps == [16] + [16 * beam_size] * (len(whole.steps) - 1)


def test_the_context_is_prepared_once_and_never_copied():
    model, context = RandomModel(25, 2), contexts(6)
    beam_search(model, context, max_length=10, beam_size=7)  # Rows refuses copies
    sample(model, context, max_length=10, num_samples=7)
    assert model.prepared == 2
    assert context.steps[0] == 6 and max(context.steps) == 42


def test_no_sentences_no_answers():
    assert beam_search(RandomModel(9, 0), contexts(0), max_length=5) == []


def test_bfloat16_logits_are_normalised_in_float32():
    class Rounded(RandomModel):
        def step(self, tokens, state, context):
            step = super().step(tokens, state, context)
            return step._replace(logits=step.logits.bfloat16())

    model, context = Rounded(40, 0), contexts(3)
    for sentence, (h,) in enumerate(beam_search(model, context, max_length=12)):
        row = one_row(context, sentence)
        expected = rescored(model, row, h.tokens, finished=h.finished)
        # bfloat16 would err by 1e-1.
        assert h.log_probability == same_log_probability(expected, terms=40 + 12)


def test_the_logits_of_the_model_do_not_change():
    model, logits = story(), torch.randn(1, 10, dtype=torch.double)
    before = logits.clone()
    model.step = lambda tokens, state, context: Step(logits.expand(len(tokens), -1), state)
    beam_search(model, one(), max_length=5, min_length=3, no_repeat_ngram=1)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("searcher", [beam_search, greedy, sample])
def test_logits_that_are_not_numbers_are_reported(bad, searcher):
    model = RandomModel(9, 0)
    model.bias[5] = bad
    with pytest.raises(ValueError, match="not numbers"):
        searcher(model, contexts(2), max_length=5)


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 0}, {"beam_size": 2, "n_best": 3}, {"beam_patience": -1.0}, {"max_length": 0},
        {"max_length": [5, 5, 5]}, {"min_length": 6}, {"min_length": -1}, {"bos": EOS},
        {"no_repeat_ngram": -1}, {"length_penalty": -0.5},
    ],
)  # fmt: skip
def test_bad_beam_options(options):
    with pytest.raises(ValueError):
        beam_search(RandomModel(9, 0), contexts(2), **({"max_length": 5} | options))


def test_a_number_of_tokens_is_kept_to_and_there_is_one_without_any():
    """In this order: that of the call, that of the strategy, a usual one."""
    model = RandomModel(9, 0, ending=-1e9)
    for options, length in (
        ({}, LONGEST),
        ({"min_length": LONGEST + 10}, LONGEST + 10),
        ({"max_length": 70}, 70),
    ):
        (found,) = Greedy(**options)(model, contexts(1), bos=BOS, eos=EOS)
        assert len(found[0].tokens) == length
    (found,) = Greedy(max_length=70)(model, contexts(1), bos=BOS, eos=EOS, max_length=3)
    assert len(found[0].tokens) == 3
    with pytest.raises(ValueError, match="min_length must lie between 0 and max_length"):
        Greedy(min_length=-1)
