"""Samples: as frequent as the distribution predicts, and determined by the generator."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from tests.common.decoding.fake_models import (
    BOS,
    EOS,
    PAD,
    RandomModel,
    Rows,
    TableModel,
    contexts,
    one,
    sample,
)
from tests.devices import generator

WORDS = {3: 0.4, 4: 0.3, 5: 0.15, 6: 0.1, 7: 0.05}


def assert_fractions(counts: Counter, total: int, expected: dict[tuple, float]) -> None:
    """Each count within five standard deviations of what is expected, and nothing else drawn."""
    assert set(counts) == set(expected)
    for outcome, probability in expected.items():
        spread = math.sqrt(probability * (1 - probability) / total)
        assert abs(counts[outcome] / total - probability) <= 5 * spread + 1e-9


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
        **options,
        max_length=5,
        num_samples=10_000,
        generator=generator(0),
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
        assert_fractions(counts, 10_000, expected)
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
    (found,) = sample(model, one(), max_length=1, num_samples=20_000, top_p=top_p)
    falling, order = probabilities.sort(descending=True)
    size = int((falling.cumsum(0) < top_p).sum()) + 1
    nucleus = falling[:size] / falling[:size].sum()
    counts = Counter(h.tokens[0] - 3 for h in found)
    assert set(counts) <= set(order[:size].tolist())
    drawn = torch.tensor([counts[word] for word in order[:size].tolist()], dtype=torch.float64)
    # Pearson's statistic has mean size - 1 and variance 2 (size - 1).
    statistic = ((drawn - 20_000 * nucleus) ** 2 / (20_000 * nucleus)).sum()
    assert abs(statistic - (size - 1)) < 5 * math.sqrt(2 * (size - 1))


def test_the_generator_determines_the_samples():
    model, context = RandomModel(30, 0), contexts(4)

    def drawn(seed: int):
        return sample(
            model, context, max_length=9, num_samples=3, top_p=0.9,
            generator=generator(seed),
        )  # fmt: skip

    before = torch.get_rng_state()
    assert drawn(1) == drawn(1) != drawn(2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(len(hypotheses) == 3 for hypotheses in drawn(1))


@pytest.mark.parametrize(
    "options", [{"num_samples": 0}, {"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}]
)
def test_bad_sampling_options(options):
    with pytest.raises(ValueError):
        sample(RandomModel(9, 0), contexts(2), max_length=5, **options)
