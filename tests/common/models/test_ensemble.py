"""Ensembles of trained models: of one, of itself, of unlike models, and under every search.

The models compute in float64; their means, and the search, in float32.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.decoding.context import Context
from common.decoding.decoder import RecurrentDecoder
from common.decoding.hypotheses import Hypothesis
from common.decoding.search import BeamSearch, Greedy, Sampling
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.models.tokens import token_figures
from common.recurrent.state import state_tensors
from common.text.vocabulary import BOS, EOS
from common.training.validation import held_out
from tests.tolerances import assert_same_sums, same_log_probability

V, C, M, SENTENCES, POSITIONS = 30, 5, 6, 7, 4
TERMS = V + 4 + 13  # sums over the vocabulary, the members, and the words of a sentence


class Reader(nn.Module):
    """An encoder of sentences given as features, with a memory of their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = nn.Linear(3, C)
        self.memory = nn.Linear(3, M)

    def forward(self, inputs: Tensor, mask: Tensor) -> Context:
        """inputs: (B, S, 3); mask: (B, S)."""
        mean = (inputs * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return Context(self.vector(mean).tanh(), self.memory(inputs), mask)


def model(seed: int, **options) -> EncoderDecoder:
    torch.manual_seed(seed)
    decoder = RecurrentDecoder(V, 8, 10, C, memory_size=M, **options)
    nn.init.normal_(decoder.output.weight)  # words far from equally likely: few near ties
    return EncoderDecoder(Reader(), decoder).double().eval()


def unlike() -> list[EncoderDecoder]:
    return [
        model(1),
        model(2, cell="lstm", num_layers=2, inject=("first", "output")),
        model(3, attention="additive", inject=("init",)),
        model(4, attention="general", attend="after", cell="rnn", readout="maxout"),
    ]


def inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    lengths = torch.tensor([4, 1, 3, 2, 4, 4, 2])
    features = torch.randn(SENTENCES, POSITIONS, 3, dtype=torch.double)
    return features, torch.arange(POSITIONS) < lengths[:, None]


SEARCHES = {
    "greedy": Greedy(max_length=12),
    "beam": BeamSearch(beam_size=4, n_best=3, length_penalty=0.7, max_length=12),
    "sample": Sampling(num_samples=3, max_length=12),
}


def call(search: str) -> dict[str, Any]:
    return {"search": SEARCHES[search], "generator": torch.Generator().manual_seed(5)}


def assert_same(one: list[list[Hypothesis]], other: list[list[Hypothesis]]) -> None:
    assert [[h.tokens for h in best] for best in one] == [
        [h.tokens for h in best] for best in other
    ]
    for a, b in zip(sum(one, []), sum(other, []), strict=True):
        assert a.finished == b.finished
        expected = [b.score, b.log_probability]
        assert [a.score, a.log_probability] == same_log_probability(expected, terms=TERMS)


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("search", SEARCHES)
def test_a_model_with_itself_predicts_what_it_predicts_alone(search, copies, average):
    for single in unlike():
        ensemble = EnsembleModel([single] * copies, average=average)
        alone = single.generate(*inputs(), **call(search))
        assert_same(alone, ensemble.generate(*inputs(), **call(search)))


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_a_sentence_alone_and_in_a_batch(search):
    ensemble = EnsembleModel(unlike())
    features, mask = inputs()
    alone = [
        ensemble.generate(
            features[row : row + 1, :size], mask[row : row + 1, :size], **call(search)
        )[0]
        for row, size in enumerate(mask.sum(1).tolist())
    ]
    assert_same(alone, ensemble.generate(features, mask, **call(search)))


def test_scores_are_the_log_of_the_mean_of_the_members_probabilities():
    """The probability of each word, of each member, from its own teacher-forced pass."""
    models = unlike()
    found = EnsembleModel(models).generate(
        *inputs(), search=BeamSearch(beam_size=3, n_best=2, max_length=9)
    )
    for row, best in enumerate(found):
        for hypothesis in best:
            spoken = hypothesis.tokens + [EOS] * hypothesis.finished
            each = []
            for member in models:
                context = member.encode(*inputs()).select(torch.tensor([row]))
                logits = member.decoder(context, torch.tensor([[BOS, *spoken[:-1]]]))[0]
                words = torch.tensor(spoken)[:, None]
                each.append(logits.softmax(1).gather(1, words)[:, 0])  # (T,)
            expected = torch.stack(each).mean(0).log().sum().item()
            assert hypothesis.log_probability == same_log_probability(expected, terms=TERMS)


def test_steps_are_pure_and_prepare_themselves():
    models = unlike()
    ensemble = EnsembleModel(models).decoder
    context = EnsembleModel(models).encode(*inputs())
    prepared = ensemble.prepare(context)
    state = ensemble.start(prepared)
    before = [tensor.clone() for tensor in state_tensors(state)]
    assert len(before) == 1 + 2 * 2 + 1 + 1
    tokens = torch.full((SENTENCES,), BOS)
    first = ensemble.step(tokens, state, prepared)
    second = ensemble.step(tokens, state, context)
    assert_same_sums(first.logits, second.logits, terms=TERMS, dtype=torch.float32)
    assert all(map(torch.equal, before, state_tensors(state)))


def test_teacher_forced_figures_are_of_the_mean():
    models = unlike()
    sentences = [[5, 6, 7], [8], [9, 10], [4], [], [11, 12, 13, 14], [5]]
    batch = Batch.collate(inputs(), sentences)
    nll = 0.0
    for row, words in enumerate(sentences):
        probabilities = torch.stack(
            [
                m.decoder(
                    m.encode(*inputs()).select(torch.tensor([row])), torch.tensor([[BOS, *words]])
                )[0].softmax(1)
                for m in models
            ]
        ).mean(0)
        nll -= probabilities[range(len(words) + 1), [*words, EOS]].log().sum().item()
    figures = held_out(EnsembleModel(models), [batch], token_figures)
    count = sum(len(words) + 1 for words in sentences)
    assert figures["loss"] == same_log_probability(nll / count, terms=V + count)
    # Several sentences of one input share its context.
    rows = torch.tensor([0, 0, 3, 6])
    shared = Batch.collate(inputs(), [[5], [6, 7], [8], [9]], rows)
    apart = Batch.collate(tuple(x[rows] for x in inputs()), [[5], [6, 7], [8], [9]])
    ensemble = EnsembleModel(models)
    assert_same_sums(
        ensemble.loss(shared).sums["nll"], ensemble.loss(apart).sums["nll"], terms=V + 9
    )


def test_attention_is_the_mean_of_those_that_attend():
    plain, _, first, second = unlike()
    sentences = [[5, 6]] * SENTENCES
    mean = EnsembleModel([plain, first, second]).attention_weights(inputs(), sentences)
    each = [m.attention_weights(inputs(), sentences) for m in (first, second)]
    for row in range(SENTENCES):
        torch.testing.assert_close(mean[row], (each[0][row] + each[1][row]) / 2)
    assert EnsembleModel([plain]).attention_weights(inputs(), sentences) is None


@pytest.mark.parametrize("search", SEARCHES)
def test_hypotheses_carry_the_mean_of_the_weights(search):
    ensemble = EnsembleModel(unlike())
    found = ensemble.generate(*inputs(), **call(search), keep_attention=True)
    assert_same(found, ensemble.generate(*inputs(), **call(search)))
    for place in range(len(found[0])):
        column = [best[place] for best in found if place < len(best)]
        assert len(column) == SENTENCES
        expected = ensemble.attention_weights(inputs(), [h.tokens for h in column])
        for hypothesis, weights in zip(column, expected, strict=True):
            rows = len(hypothesis.tokens) + hypothesis.finished
            assert_same_sums(hypothesis.attention, weights[:rows], terms=TERMS, dtype=torch.float32)


def test_members_that_attend_to_other_positions_have_no_mean():
    class Shorter(Reader):
        def forward(self, inputs: Tensor, mask: Tensor) -> Context:
            context = super().forward(inputs, mask)
            return Context(context.vector, context.memory[:, :2], mask[:, :2])

    first, second = model(3, attention="additive"), model(4, attention="additive")
    second.encoder = Shorter().double()
    ensemble = EnsembleModel([first, second])
    assert ensemble.attention_weights(inputs(), [[5]] * SENTENCES) is None
    found = ensemble.generate(*inputs(), search=Greedy(max_length=3), keep_attention=True)
    assert all(h.attention is None for best in found for h in best)


def test_training_mode_reaches_the_members():
    ensemble = EnsembleModel(unlike())
    assert all(member.training for member in ensemble.train().models)
    assert not any(member.training for member in ensemble.eval().models)


def test_what_does_not_fit_together():
    with pytest.raises(ValueError, match="at least one"):
        EnsembleModel([])
    small = EncoderDecoder(Reader(), RecurrentDecoder(V - 1, 8, 10, C))
    with pytest.raises(ValueError, match=r"\[30, 29\] differ"):
        EnsembleModel([model(1), small])
