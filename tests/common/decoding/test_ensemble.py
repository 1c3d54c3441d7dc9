"""Ensembles of step models: their means by hand."""

from __future__ import annotations

import math

import pytest
import torch

from common.decoding.ensemble import Ensemble, EnsembleContext, mean_log_probabilities
from tests.common.decoding.fake_models import BOS, EOS, Rows, TableModel, beam_search, sample
from tests.devices import generator
from tests.tolerances import rounding, same_log_probability

THE, A, DOG, CAT, VOCABULARY = 4, 5, 6, 7, 8


ENDS = {word: {EOS: 1.0} for word in (DOG, CAT)}
ONE = {BOS: {THE: 0.9, A: 0.1}, THE: {DOG: 0.6, CAT: 0.4}, A: {DOG: 0.5, CAT: 0.5}} | ENDS
OTHER = {BOS: {THE: 0.2, A: 0.8}, THE: {DOG: 0.1, CAT: 0.9}, A: {DOG: 1.0}} | ENDS


def together(sentences: int = 1) -> tuple[list[TableModel], EnsembleContext]:
    rows = Rows(torch.zeros(sentences))
    models = [TableModel(ONE, VOCABULARY, size=1), TableModel(OTHER, VOCABULARY, size=3)]
    return models, EnsembleContext((rows, rows))


def found_by_beam(average) -> dict[tuple[int, ...], float]:
    models, context = together()
    (best,) = beam_search(
        Ensemble(models, average=average), context, max_length=5, beam_size=6, n_best=4
    )
    assert [h.score for h in best] == sorted((h.score for h in best), reverse=True)
    return {tuple(h.tokens): math.exp(h.log_probability) for h in best}


def probabilities(expected: dict[tuple[int, ...], float]):
    return pytest.approx(expected, rel=rounding(VOCABULARY + 3))


def test_probabilities_by_hand():
    the, a = (0.9 + 0.2) / 2, (0.1 + 0.8) / 2
    assert found_by_beam("probabilities") == probabilities(
        {
            (THE, CAT): the * (0.4 + 0.9) / 2,
            (A, DOG): a * (0.5 + 1.0) / 2,
            (THE, DOG): the * (0.6 + 0.1) / 2,
            (A, CAT): a * (0.5 + 0.0) / 2,
        }
    )


def test_log_probabilities_by_hand():
    the, a = math.sqrt(0.9 * 0.2), math.sqrt(0.1 * 0.8)
    dog, cat = math.sqrt(0.6 * 0.1), math.sqrt(0.4 * 0.9)
    assert found_by_beam("log_probabilities") == probabilities(
        {
            (THE, CAT): the / (the + a) * cat / (dog + cat),
            (A, DOG): a / (the + a),  # a cat after "a" is impossible to one of them
            (THE, DOG): the / (the + a) * dog / (dog + cat),
        }
    )


def test_samples_follow_the_mean():
    models, context = together()
    (samples,) = sample(
        Ensemble(models), context, max_length=5, num_samples=4000,
        generator=generator(1),
    )  # fmt: skip
    cats = sum(h.tokens == [THE, CAT] for h in samples) / len(samples)
    assert cats == pytest.approx(0.55 * 0.65, abs=0.03)


def test_the_mean_of_large_logits_neither_overflows_nor_underflows():
    logits = [torch.tensor([[1e4, 0.0, -1e4]]), torch.tensor([[-1e4, -1e4, 1e4]])]
    mean = mean_log_probabilities(logits)
    assert mean[0, [0, 2]].tolist() == same_log_probability([math.log(0.5)] * 2, terms=3)
    assert mean.exp().sum().item() == pytest.approx(1, rel=rounding(3))
    assert mean_log_probabilities([x.bfloat16() for x in logits]).dtype == torch.float32


def test_errors():
    models, context = together()
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])
    with pytest.raises(ValueError, match="1 contexts for 2 members"):
        Ensemble(models).prepare(EnsembleContext(context.members[:1]))
    with pytest.raises(ValueError, match="same inputs"):
        EnsembleContext((Rows(torch.zeros(1)), Rows(torch.zeros(2))))
    with pytest.raises(ValueError, match=r"\[3, 4\] differ"):
        mean_log_probabilities([torch.zeros(1, 3), torch.zeros(1, 4)])
    with pytest.raises(ValueError, match="median"):
        mean_log_probabilities([torch.zeros(1, 3)], "median")  # type: ignore[arg-type]
