"""Search against arithmetic, against exhaustive search, and against a slow, plain beam search."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.decoding.search import beam_search, gnmt, greedy, sample

PAD, BOS, EOS = 0, 1, 2
SPECIAL = {"bos": BOS, "eos": EOS, "forbidden": (PAD, BOS)}
quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


# -- models ----------------------------------------------------------------------------------------


@dataclass
class Rows:
    """A context that refuses to be copied: rows may be dropped, never repeated."""

    rows: Tensor
    steps: list[int] = field(default_factory=list)
    selections: list[int] = field(default_factory=list)

    @property
    def batch_size(self) -> int:
        return len(self.rows)

    def select(self, rows: Tensor) -> Rows:
        kept = rows.tolist()
        assert len(set(kept)) == len(kept) < self.batch_size
        self.selections.append(len(kept))
        return Rows(self.rows[rows], self.steps, self.selections)


class TableModel:
    """The next word depends on the last one alone, by a table of probabilities."""

    def __init__(self, table: dict[int, dict[int, float]], vocabulary: int) -> None:
        probabilities = torch.zeros(vocabulary, vocabulary)
        for last, following in table.items():
            for word, probability in following.items():
                probabilities[last, word] = probability
        probabilities[probabilities.sum(1) == 0, PAD] = 1.0  # rows that can never be reached
        self.logits = probabilities.log()

    def prepare(self, context: Rows) -> Rows:
        return context

    def start(self, context: Rows) -> tuple[Tensor, ...]:
        return (torch.full((context.batch_size, 1), -1),)

    def step(self, tokens, state, context):
        assert len(tokens) % context.batch_size == 0 and len(state[0]) == len(tokens)
        context.steps.append(len(tokens))
        return self.logits[tokens], (tokens[:, None],)


class RandomModel:
    """A recurrent network of random weights: the next word depends on context and all words."""

    def __init__(self, vocabulary: int, seed: int, *, ending: float = 1.0, sharp: float = 2.0):
        generator = torch.Generator().manual_seed(seed)
        self.vocabulary = vocabulary
        self.words = torch.randn(vocabulary, 6, generator=generator)
        self.recurrent = torch.randn(6, 6, generator=generator)
        self.out = torch.randn(6, vocabulary, generator=generator) * sharp
        self.bias = torch.zeros(vocabulary)
        self.bias[EOS] = ending
        self.prepared = 0

    def prepare(self, context: Rows) -> Rows:
        self.prepared += 1
        return context

    def start(self, context: Rows) -> tuple[Tensor, ...]:
        zeros = torch.zeros(context.batch_size, 6)
        return zeros, zeros[:, :1]

    def step(self, tokens, state, context):
        context.steps.append(len(tokens))
        h, length = state
        shared = context.rows[:, None]  # (B, 1, 6): every hypothesis of a sentence sees its row
        h = (h @ self.recurrent + self.words[tokens]).view(len(shared), -1, 6) + shared
        h = h.flatten(0, 1).tanh()
        return h @ self.out + self.bias, (h, length + 1)


def contexts(batch: int, seed: int = 0) -> Rows:
    return Rows(torch.randn(batch, 6, generator=torch.Generator().manual_seed(seed + 1000)))


def log_probabilities(model, context: Rows, prefix: tuple[int, ...]) -> list[float]:
    """Of the next token of one sentence, given the words before it."""
    context = Rows(context.rows)
    state = model.start(context)
    for token in (BOS, *prefix):
        logits, state = model.step(torch.tensor([token]), state, context)
    return logits[0].double().log_softmax(0).tolist()


def rescored(model, context: Rows, tokens: list[int], *, finished: bool) -> float:
    spoken = [*tokens, EOS] if finished else tokens
    return sum(
        log_probabilities(model, context, tuple(spoken[:t]))[token]
        for t, token in enumerate(spoken)
    )


# -- oracles ---------------------------------------------------------------------------------------


def repeats(tokens: tuple[int, ...], n: int) -> bool:
    ngrams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
    return n > 0 and len(set(ngrams)) < len(ngrams)


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
    """One sentence, one hypothesis at a time, never stopping early: what the search must equal."""
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
        best = sorted(candidates, reverse=True)[:beam_size]
        ended = {words[:-1]: total for total, words in best if words[-1] == EOS}
        finished += [
            (total / penalty(length + 1), total, words, True) for words, total in ended.items()
        ]
        before = [(t / penalty(max(1, length)), t, w, False) for t, w in live if w not in ended]
        live = [(total, words) for total, words in best if words[-1] != EOS]
        if not live or length == max_length:
            cut_off = before
            break
    answers = sorted(finished, reverse=True) + sorted(cut_off, reverse=True)
    return answers[:n_best]


def every_sentence(model, context: Rows, max_length: int, penalty):
    """All sentences of up to max_length words, best first."""
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


PENALTIES = {0.0: lambda n: 1.0, 0.7: lambda n: n**0.7, 1.0: float, "gnmt": gnmt(0.9)}


def as_option(penalty):
    return gnmt(0.9) if penalty == "gnmt" else penalty


# -- by hand ---------------------------------------------------------------------------------------

THE, A, DOG, CAT, RUNS, SLEEPS, FAST = range(3, 10)
STORY = {
    BOS: {THE: 0.6, A: 0.4},
    THE: {DOG: 0.5, CAT: 0.4, EOS: 0.1},
    A: {DOG: 0.1, CAT: 0.9},
    DOG: {RUNS: 0.5, SLEEPS: 0.3, EOS: 0.2},
    CAT: {RUNS: 0.2, SLEEPS: 0.75, EOS: 0.05},
    RUNS: {EOS: 0.4, FAST: 0.6},
    SLEEPS: {EOS: 0.9, FAST: 0.1},
    FAST: {EOS: 1.0},
}


def story() -> TableModel:
    return TableModel(STORY, 10)


def one() -> Rows:
    return Rows(torch.zeros(1, 1))


def assert_answers(found, expected) -> None:
    """expected: (words, probability) of each hypothesis, best first."""
    assert [hypothesis.tokens for hypothesis in found] == [words for words, _ in expected]
    for hypothesis, (_, probability) in zip(found, expected, strict=True):
        assert hypothesis.log_probability == pytest.approx(math.log(probability), abs=1e-5)


def test_greedy_follows_the_likeliest_word():
    (found,) = greedy(story(), one(), **SPECIAL, max_length=10)
    assert_answers(found, [([THE, DOG, RUNS, FAST], 0.6 * 0.5 * 0.5 * 0.6 * 1.0)])
    assert found[0].finished


def test_beam_of_two_finds_what_greedy_misses():
    (found,) = beam_search(story(), one(), **SPECIAL, max_length=10, beam_size=2, n_best=2)
    # Step 2 keeps "a cat" (.36) and "the dog" (.30), and drops "the cat" (.24) for good.
    assert_answers(
        found,
        [
            ([A, CAT, SLEEPS], 0.4 * 0.9 * 0.75 * 0.9),
            ([THE, DOG, RUNS, FAST], 0.6 * 0.5 * 0.5 * 0.6),
        ],
    )


def test_beam_of_three_keeps_the_third():
    (found,) = beam_search(story(), one(), **SPECIAL, max_length=10, beam_size=3, n_best=3)
    assert_answers(
        found,
        [
            ([A, CAT, SLEEPS], 0.243),
            ([THE, CAT, SLEEPS], 0.6 * 0.4 * 0.75 * 0.9),
            ([THE, DOG, RUNS, FAST], 0.09),
        ],
    )


def test_wide_beam_lists_every_sentence_in_order():
    (found,) = beam_search(story(), one(), **SPECIAL, max_length=10, beam_size=40, n_best=6)
    assert_answers(
        found,
        [
            ([A, CAT, SLEEPS], 0.243),
            ([THE, CAT, SLEEPS], 0.162),
            ([THE, DOG, RUNS, FAST], 0.09),
            ([THE, DOG, SLEEPS], 0.6 * 0.5 * 0.3 * 0.9),
            ([THE, DOG, RUNS], 0.6 * 0.5 * 0.5 * 0.4),
            ([THE, DOG], 0.6 * 0.5 * 0.2),
        ][:4]
        + [(found[4].tokens, 0.06), (found[5].tokens, 0.06)],  # three are worth .06: any order
    )


# "a" ends at once with .55; "b c c c" is certain once begun, with .45.
B_, C1, C2, C3 = 4, 5, 6, 7
SHORT_OR_LONG = {
    BOS: {3: 0.55, B_: 0.45},
    3: {EOS: 1.0},
    B_: {C1: 1.0},
    C1: {C2: 1.0},
    C2: {C3: 1.0},
    C3: {EOS: 1.0},
}


@pytest.mark.parametrize(
    ("length_penalty", "words", "score"),
    [
        (0.0, [3], math.log(0.55)),
        (1.0, [B_, C1, C2, C3], math.log(0.45) / 5),
        (0.5, [B_, C1, C2, C3], math.log(0.45) / math.sqrt(5)),
        (0.2, [3], math.log(0.55) / 2**0.2),
        (gnmt(1.0), [B_, C1, C2, C3], math.log(0.45) / (10 / 6)),
        (gnmt(0.1), [3], math.log(0.55) / (7 / 6) ** 0.1),
    ],
)
def test_length_penalty_by_arithmetic(length_penalty, words, score):
    model = TableModel(SHORT_OR_LONG, 8)
    (found,) = beam_search(
        model, one(), **SPECIAL, max_length=10, beam_size=2, length_penalty=length_penalty
    )
    assert found[0].tokens == words
    assert found[0].score == pytest.approx(score, abs=1e-6)


def test_stops_exactly_when_nothing_can_win():
    """Without normalisation .45 cannot beat the finished .55; with it, it can, and does."""
    model = TableModel(SHORT_OR_LONG, 8)
    steps = {}
    for alpha in (0.0, 1.0):
        context = one()
        beam_search(model, context, **SPECIAL, max_length=10, beam_size=2, length_penalty=alpha)
        steps[alpha] = len(context.steps)
    assert steps == {0.0: 2, 1.0: 5}
    context = one()
    (found,) = beam_search(
        model, context, **SPECIAL, max_length=10, beam_size=2, length_penalty=1.0, stop_after=1
    )
    assert (len(context.steps), found[0].tokens) == (2, [3])


def test_what_a_sentence_may_still_come_to_depends_on_its_own_maximum():
    """Over 5 ** .5 the long sentence wins; cut at two words, it could come to / 3 ** .5 at most."""
    context = Rows(torch.zeros(3, 1))
    found = beam_search(
        TableModel(SHORT_OR_LONG, 8),
        context,
        **SPECIAL,
        max_length=[2, 4, 10],
        beam_size=2,
        length_penalty=0.5,
    )
    assert [h[0].tokens for h in found] == [[3], [B_, C1, C2, C3], [B_, C1, C2, C3]]
    assert context.selections == [2] and len(context.steps) == 5


def test_the_end_token_counts_towards_the_greatest_length():
    """With .37 the long sentence wins by its fifth token, eos: over 4 ** .37 it would lose."""
    (found,) = beam_search(
        TableModel(SHORT_OR_LONG, 8),
        one(),
        **SPECIAL,
        max_length=4,
        beam_size=2,
        length_penalty=0.37,
    )
    assert found[0].tokens == [B_, C1, C2, C3]


def test_complete_and_cut_off_sentences_are_not_mixed():
    """Room for three words: whatever is longer is cut off, and comes after all that ended."""
    (found,) = beam_search(story(), one(), **SPECIAL, max_length=2, beam_size=2, n_best=2)
    # The third step's best two continuations are words, so neither hypothesis ends.
    assert_answers(found, [([A, CAT], 0.36), ([THE, DOG], 0.30)])
    assert [hypothesis.finished for hypothesis in found] == [False, False]
    (found,) = beam_search(story(), one(), **SPECIAL, max_length=3, beam_size=2, n_best=2)
    assert_answers(found, [([A, CAT, SLEEPS], 0.243), ([THE, DOG, RUNS], 0.15)])
    assert [hypothesis.finished for hypothesis in found] == [True, False]


def test_one_prefix_is_not_both_ended_and_cut_off():
    table = {BOS: {3: 1.0}, 3: {3: 0.5, EOS: 0.5}}
    (found,) = beam_search(
        TableModel(table, 4), one(), **SPECIAL, max_length=2, beam_size=4, n_best=4
    )
    assert_answers(found, [([3], 0.5), ([3, 3], 0.25)])
    assert all(hypothesis.finished for hypothesis in found)


# -- against the oracles ---------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("seed", range(6))
def test_wide_beam_equals_exhaustive_search(seed, penalty):
    model = RandomModel(6, seed)
    context = contexts(3, seed)
    found = beam_search(
        model,
        context,
        **SPECIAL,
        max_length=4,
        beam_size=600,
        n_best=25,
        length_penalty=as_option(penalty),
    )
    for sentence, hypotheses in enumerate(found):
        row = Rows(context.rows[sentence : sentence + 1])
        expected = every_sentence(model, row, 4, PENALTIES[penalty])[:25]
        assert [tuple(h.tokens) for h in hypotheses] == [words for _, _, words in expected]
        assert [h.score for h in hypotheses] == pytest.approx([s for s, _, _ in expected], abs=1e-4)
        assert [h.log_probability for h in hypotheses] == pytest.approx(
            [total for _, total, _ in expected], abs=1e-4
        )
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
    found = beam_search(
        model,
        context,
        **SPECIAL,
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=as_option(penalty),
        min_length=[low for low, _ in lengths],
        max_length=torch.tensor([high for _, high in lengths]),
        no_repeat_ngram=no_repeat_ngram,
        prune=prune,
    )
    assert len(found) == len(lengths)
    for sentence, (hypotheses, (low, high)) in enumerate(zip(found, lengths, strict=True)):
        row = Rows(context.rows[sentence : sentence + 1])
        expected = plain_beam_search(
            model,
            row,
            beam_size=beam_size,
            n_best=n_best,
            penalty=PENALTIES[penalty],
            max_length=high,
            min_length=low,
            no_repeat_ngram=no_repeat_ngram,
        )
        got = [(tuple(h.tokens), h.finished) for h in hypotheses]
        assert got == [(words, finished) for _, _, words, finished in expected]
        assert [h.score for h in hypotheses] == pytest.approx([e[0] for e in expected], abs=1e-4)
        assert [h.log_probability for h in hypotheses] == pytest.approx(
            [e[1] for e in expected], abs=1e-4
        )


@pytest.mark.parametrize("seed", range(5))
def test_beam_of_one_is_greedy(seed):
    model = RandomModel(30, seed)
    context = contexts(7, seed)
    found = greedy(model, context, **SPECIAL, max_length=12)
    assert found == beam_search(
        model, context, **SPECIAL, max_length=12, beam_size=1, length_penalty=0.0
    )
    for sentence, (hypothesis,) in enumerate(found):
        row = Rows(context.rows[sentence : sentence + 1])
        words: tuple[int, ...] = ()
        while True:
            values = log_probabilities(model, row, words)
            word = max(range(2, model.vocabulary), key=values.__getitem__)
            if word == EOS or len(words) == 12:
                break
            words = (*words, word)
        assert (tuple(hypothesis.tokens), hypothesis.finished) == (words, word == EOS)


@pytest.mark.parametrize("normalised", [False, True])
def test_greedy_does_not_depend_on_the_length_penalty(normalised):
    """An early end is final for greedy search, even if the penalty prefers longer sentences."""
    model, context = RandomModel(20, 3, ending=2.0), contexts(9)
    found = greedy(model, context, **SPECIAL, max_length=15, length_penalty=2.0 * normalised)
    expected = greedy(model, context, **SPECIAL, max_length=15)
    assert [h[0].tokens for h in found] == [h[0].tokens for h in expected]


@pytest.mark.parametrize("seed", range(4))
def test_log_probability_is_the_models_own(seed):
    """Whatever was banned and however it was found."""
    model, context = RandomModel(12, seed), contexts(4, seed)
    options = {"max_length": 6, "min_length": 2, "no_repeat_ngram": 1} | SPECIAL
    generator = torch.Generator().manual_seed(seed)
    for found in (
        beam_search(model, context, **options, n_best=3, length_penalty=1.0),
        sample(
            model, context, **options, num_samples=3, temperature=0.7, top_k=5, generator=generator
        ),
    ):
        for sentence, hypotheses in enumerate(found):
            row = Rows(context.rows[sentence : sentence + 1])
            for h in hypotheses:
                expected = rescored(model, row, h.tokens, finished=h.finished)
                assert h.log_probability == pytest.approx(expected, abs=1e-4)


# -- batches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_sentence_alone_equals_the_sentence_in_a_batch(beam_size):
    model, context = RandomModel(25, 1, ending=1.5), contexts(12)
    options = {"max_length": 15, "beam_size": beam_size, "length_penalty": 0.8} | SPECIAL
    options["n_best"] = min(beam_size, 3)
    together = beam_search(model, context, **options)
    for sentence, hypotheses in enumerate(together):
        (alone,) = beam_search(model, Rows(context.rows[sentence : sentence + 1]), **options)
        assert [h.tokens for h in alone] == [h.tokens for h in hypotheses]
        assert [h.score for h in alone] == pytest.approx([h.score for h in hypotheses], abs=1e-5)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_pruning_saves_rows_and_changes_nothing(beam_size):
    model = RandomModel(25, 2, ending=1.5)
    pruned, whole = contexts(16), contexts(16)
    options = {"max_length": [6, 20] * 8, "beam_size": beam_size, "length_penalty": 0.5} | SPECIAL
    found = beam_search(model, pruned, **options)
    expected = beam_search(model, whole, **options, prune=False)
    assert [[h.tokens for h in sentence] for sentence in found] == [
        [h.tokens for h in sentence] for sentence in expected
    ]
    assert pruned.selections and not whole.selections
    assert len(pruned.steps) == len(whole.steps)
    assert sum(pruned.steps) < sum(whole.steps)
    # The context's rows only ever become fewer, and every step serves those that are left.
    assert pruned.selections == sorted(pruned.selections, reverse=True)
    assert whole.steps == [16] + [16 * beam_size] * (len(whole.steps) - 1)


def test_the_context_is_prepared_once_and_never_copied():
    model, context = RandomModel(25, 2), contexts(6)
    beam_search(model, context, **SPECIAL, max_length=10, beam_size=7)  # Rows refuses copies
    sample(model, context, **SPECIAL, max_length=10, num_samples=7)
    assert model.prepared == 2
    assert context.steps[0] == 6 and max(context.steps) == 42


def test_no_sentences_no_answers():
    assert beam_search(RandomModel(9, 0), contexts(0), **SPECIAL, max_length=5) == []


# -- constraints -----------------------------------------------------------------------------------


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
    model.bias[PAD] = model.bias[BOS] = model.bias[3] = 4.0  # what must not be said is likely
    forbidden = (PAD, BOS, 3) if unknown else (PAD, BOS)
    options = {"bos": BOS, "eos": EOS, "forbidden": forbidden, "no_repeat_ngram": n}
    options |= {"min_length": low, "max_length": high}
    if searcher == "beam":
        found = beam_search(model, contexts(3, seed), **options, beam_size=4, n_best=4)
    elif searcher == "greedy":
        found = greedy(model, contexts(3, seed), **options)
    else:
        generator = torch.Generator().manual_seed(seed)
        found = sample(
            model, contexts(3, seed), **options, num_samples=4, temperature=2.0, generator=generator
        )
    for h in itertools.chain.from_iterable(found):
        assert low <= len(h.tokens) <= high
        assert not {*h.tokens} & {EOS, *forbidden}
        assert not repeats(tuple(h.tokens), n)
        assert h.finished or len(h.tokens) == high


def test_a_model_that_never_ends_still_answers():
    """It says one word for ever: greedy, beam and samples are cut at the maximum."""
    table = {BOS: {3: 1.0}, 3: {3: 0.75, 4: 0.25}, 4: {3: 1.0}}
    model = TableModel(table, 5)
    (found,) = greedy(model, one(), **SPECIAL, max_length=50)
    assert (found[0].tokens, found[0].finished) == ([3] * 50, False)
    assert found[0].score == pytest.approx(49 * math.log(0.75), rel=1e-5)
    (found,) = beam_search(
        model, one(), **SPECIAL, max_length=50, beam_size=3, n_best=3, length_penalty=1.0
    )
    assert len(found) == 3 and not any(h.finished for h in found)
    assert found[0].score == pytest.approx(49 * math.log(0.75) / 50, rel=1e-5)
    (found,) = sample(model, one(), **SPECIAL, max_length=50, num_samples=2)
    assert [len(h.tokens) for h in found] == [50, 50]


def test_a_dead_end_answers_with_what_was_said():
    """Three words and no bigram twice; with every word used up nothing is left to say."""
    table = {BOS: {3: 1.0}, 3: {4: 1.0}, 4: {3: 1.0}}
    (found,) = beam_search(
        TableModel(table, 5), one(), **SPECIAL, max_length=9, no_repeat_ngram=1, beam_size=3
    )
    assert (found[0].tokens, found[0].finished, found[0].log_probability) == ([3, 4], False, 0.0)
    (found,) = beam_search(
        TableModel(table, 5), one(), bos=BOS, eos=EOS, forbidden=(3,), max_length=9
    )
    assert (found[0].tokens, found[0].finished) == ([], False)
    (found,) = sample(
        TableModel(table, 5), one(), **SPECIAL, max_length=9, no_repeat_ngram=1, num_samples=3
    )
    assert [(h.tokens, h.finished) for h in found] == [([3, 4], False)] * 3


@pytest.mark.parametrize("seed", range(3))
def test_n_best_are_sorted_and_differ(seed):
    model, context = RandomModel(15, seed), contexts(5, seed)
    for alpha in (0.0, 1.0):
        found = beam_search(
            model, context, **SPECIAL, max_length=8, beam_size=6, n_best=6, length_penalty=alpha
        )
        for hypotheses in found:
            assert len(hypotheses) == 6
            assert len({tuple(h.tokens) for h in hypotheses}) == 6
            for kind in (True, False):
                scores = [h.score for h in hypotheses if h.finished == kind]
                assert scores == sorted(scores, reverse=True)
            kinds = [h.finished for h in hypotheses]
            assert kinds == sorted(kinds, reverse=True)


# -- sampling --------------------------------------------------------------------------------------

WORDS = {3: 0.4, 4: 0.3, 5: 0.15, 6: 0.1, 7: 0.05}


def shares(counts: Counter, total: int, expected: dict[tuple, float]) -> None:
    """Each count within five standard deviations of what is expected, and nothing else drawn."""
    assert set(counts) == set(expected)
    for outcome, share in expected.items():
        spread = math.sqrt(share * (1 - share) / total)
        assert abs(counts[outcome] / total - share) <= 5 * spread + 1e-9


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, WORDS),
        ({"temperature": 0.5}, {w: p * p / 0.285 for w, p in WORDS.items()}),
        ({"top_k": 2}, {3: 4 / 7, 4: 3 / 7}),
        ({"top_k": 1}, {3: 1.0}),
        ({"top_p": 0.75}, {3: 0.4 / 0.85, 4: 0.3 / 0.85, 5: 0.15 / 0.85}),
        ({"top_p": 0.39}, {3: 1.0}),
        ({"top_k": 3, "top_p": 0.5}, {3: 4 / 7, 4: 3 / 7}),
        ({"forbidden": (PAD, BOS, 3)}, {w: p / 0.6 for w, p in WORDS.items() if w != 3}),
    ],
)
def test_samples_follow_the_distribution(options, expected):
    """A word, then one that depends on it, then the end: counted jointly, over two sentences."""
    table = {BOS: WORDS, EOS: {EOS: 1.0}} | {word: {8: 0.5, 9: 0.5} for word in WORDS}
    table |= {8: {EOS: 1.0}, 9: {EOS: 1.0}}
    found = sample(
        TableModel(table, 10),
        Rows(torch.zeros(2, 1)),
        **(SPECIAL | options),
        max_length=5,
        num_samples=10_000,
        generator=torch.Generator().manual_seed(0),
    )
    if not options:
        expected = {(w, v): p / 2 for w, p in expected.items() for v in (8, 9)}
    else:
        expected = {(w,): p for w, p in expected.items()}
    drawn = [
        Counter(tuple(h.tokens) if not options else (h.tokens[0],) for h in hypotheses)
        for hypotheses in found
    ]
    for counts in drawn:
        shares(counts, 10_000, expected)
    assert drawn[0] != drawn[1] or len(expected) == 1  # the two sentences are drawn apart


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.97])
def test_a_nucleus_of_a_large_vocabulary(top_p):
    """From a few words to nearly all of 700, one of each exactly as likely as the arithmetic."""
    weights = torch.arange(700, 0, -1, dtype=torch.float64)
    probabilities = (weights / weights.sum())[torch.randperm(700)]
    table = {BOS: dict(enumerate(probabilities.tolist(), start=3))}
    model = TableModel(table, 703)
    model.logits[3:] = -math.inf
    model.logits[3:, EOS] = 0.0
    (found,) = sample(model, one(), **SPECIAL, max_length=1, num_samples=20_000, top_p=top_p)
    falling, order = probabilities.sort(descending=True)
    size = int((falling.cumsum(0) < top_p).sum()) + 1
    nucleus = falling[:size] / falling[:size].sum()
    counts = Counter(h.tokens[0] - 3 for h in found)
    assert set(counts) <= set(order[:size].tolist())
    drawn = torch.tensor([counts[word] for word in order[:size].tolist()], dtype=torch.float64)
    # Pearson's statistic has mean size - 1 and variance 2 (size - 1).
    statistic = ((drawn - 20_000 * nucleus) ** 2 / (20_000 * nucleus)).sum()
    assert abs(statistic - (size - 1)) < 5 * math.sqrt(2 * (size - 1))


def test_the_generator_decides_the_samples():
    model, context = RandomModel(30, 0), contexts(4)

    def drawn(seed: int):
        generator = torch.Generator().manual_seed(seed)
        return sample(
            model, context, **SPECIAL, max_length=9, num_samples=3, top_p=0.9, generator=generator
        )

    before = torch.get_rng_state()
    assert drawn(1) == drawn(1) != drawn(2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(len(hypotheses) == 3 for hypotheses in drawn(1))


# -- numbers ---------------------------------------------------------------------------------------


def test_bfloat16_logits_are_normalised_in_float32():
    class Rounded(RandomModel):
        def step(self, tokens, state, context):
            logits, state = super().step(tokens, state, context)
            return logits.bfloat16(), state

    model, context = Rounded(40, 0), contexts(3)
    for sentence, (h,) in enumerate(beam_search(model, context, **SPECIAL, max_length=12)):
        row = Rows(context.rows[sentence : sentence + 1])
        expected = rescored(model, row, h.tokens, finished=h.finished)
        assert h.log_probability == pytest.approx(expected, abs=1e-4)  # bfloat16 would err by 1e-1


def test_the_models_logits_are_left_as_they_were():
    model = story()
    before = model.logits.clone()

    def step(tokens, state, context):
        return model.logits[:1].expand(len(tokens), -1), state

    model.logits[0] = torch.randn(10)
    before[0] = model.logits[0]
    model.step = step
    beam_search(model, one(), **SPECIAL, max_length=5, min_length=3, no_repeat_ngram=1)
    assert torch.equal(model.logits, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("searcher", [beam_search, greedy, sample])
def test_logits_that_are_not_numbers_are_reported(bad, searcher):
    model = RandomModel(9, 0)
    model.bias[5] = bad
    with pytest.raises(ValueError, match="not numbers"):
        searcher(model, contexts(2), **SPECIAL, max_length=5)


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 0},
        {"beam_size": 2, "n_best": 3},
        {"n_best": 2, "stop_after": 1},
        {"max_length": 0},
        {"max_length": [5, 5, 5]},
        {"min_length": 6},
        {"min_length": -1},
        {"forbidden": (PAD, EOS)},
        {"no_repeat_ngram": -1},
        {"length_penalty": -0.5},
    ],
)
def test_bad_beam_options(options):
    with pytest.raises(ValueError):
        beam_search(RandomModel(9, 0), contexts(2), **({"max_length": 5} | SPECIAL | options))


@pytest.mark.parametrize(
    "options", [{"num_samples": 0}, {"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}]
)
def test_bad_sampling_options(options):
    with pytest.raises(ValueError):
        sample(RandomModel(9, 0), contexts(2), **SPECIAL, max_length=5, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_waits_once_a_step_and_finds_the_same():
    model, context = RandomModel(50, 0), contexts(8)
    options = {"max_length": 12, "beam_size": 4, "n_best": 2, "length_penalty": 1.0} | SPECIAL
    expected = beam_search(model, context, **options)
    for name in ("words", "recurrent", "out", "bias"):
        setattr(model, name, getattr(model, name).cuda())
    model.start = lambda c: (c.rows.new_zeros(len(c.rows), 6), c.rows.new_zeros(len(c.rows), 1))
    found = beam_search(model, Rows(context.rows.cuda()), **options)
    assert [[h.tokens for h in s] for s in found] == [[h.tokens for h in s] for s in expected]
