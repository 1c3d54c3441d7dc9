"""The sentence encoder: padding reaches nothing, every summary is what it says, reversal is honest.

Computed in float64: a sentence alone and in a batch agree as far as any test looks.
"""

from __future__ import annotations

import pytest
import torch

from seq2seq.encoder import SentenceEncoder
from seq2seq.examples import source_batch

SENTENCES = [[4, 5, 6], [7], [8, 9, 10, 11, 4], []]


def make(**options) -> SentenceEncoder:
    torch.manual_seed(0)
    return SentenceEncoder(12, 5, 6, **options).double().eval()


@pytest.mark.parametrize("summary", ["last", "max", "mean"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_sentence_is_encoded_the_same_alone_and_in_a_batch(summary, cell, reverse, layers):
    encoder = make(summary=summary, cell=cell, reverse=reverse, num_layers=layers)
    together = encoder(*source_batch(SENTENCES))
    for row, sentence in enumerate(SENTENCES):
        alone = encoder(*source_batch([sentence]))
        length = len(sentence) + 1
        torch.testing.assert_close(together.vector[row], alone.vector[0])
        torch.testing.assert_close(together.memory[row, :length], alone.memory[0])
        assert together.mask[row].tolist() == [s < length for s in range(6)]


def test_padding_has_no_gradient_and_no_influence():
    encoder = make(summary="max", num_layers=2)
    tokens, lengths = source_batch(SENTENCES)
    embedded = encoder.embedding(tokens).detach().requires_grad_()
    encoder.embedding.forward = lambda _: embedded
    context = encoder(tokens, lengths)
    real = context.mask.unsqueeze(2)
    (context.vector.sum() + (context.memory * real).square().sum()).backward()
    assert (embedded.grad[~context.mask] == 0).all()
    assert (embedded.grad[context.mask] != 0).any(1).all()


def test_the_last_summary_is_the_last_state_of_each_direction():
    encoder = make(summary="last")
    tokens, lengths = source_batch([[4, 5, 6, 7]])
    context = encoder(tokens, lengths)
    forwards, backwards = context.memory[0, -1, :6], context.memory[0, 0, 6:]
    torch.testing.assert_close(context.vector[0], torch.cat([forwards, backwards]))


def test_mean_and_max_are_of_real_words_only():
    tokens, lengths = source_batch(SENTENCES)
    for summary, reduce in (("mean", lambda m: m.mean(0)), ("max", lambda m: m.amax(0))):
        context = make(summary=summary)(tokens, lengths)
        for row, sentence in enumerate(SENTENCES):
            expected = reduce(context.memory[row, : len(sentence) + 1])
            torch.testing.assert_close(context.vector[row], expected)


def test_reversal_reads_backwards_and_hands_on_the_memory_in_order():
    plain, reversed_ = make(bidirectional=False), make(bidirectional=False, reverse=True)
    tokens = torch.tensor([[4, 5, 6, 2], [7, 8, 2, 0]])
    lengths = torch.tensor([4, 3])
    backwards = torch.tensor([[2, 6, 5, 4], [2, 8, 7, 0]])
    expected, found = plain(backwards, lengths), reversed_(tokens, lengths)
    torch.testing.assert_close(found.vector, expected.vector)
    torch.testing.assert_close(found.memory[0], expected.memory[0].flip(0))
    torch.testing.assert_close(found.memory[1, :3], expected.memory[1, :3].flip(0))


def test_without_attention_there_is_no_memory():
    encoder = make(attention=False)
    assert encoder.memory_size is None
    assert encoder(*source_batch(SENTENCES)).memory is None


def test_an_unknown_summary_is_refused():
    with pytest.raises(ValueError, match="first"):
        make(summary="first")
