"""A class for a whole sequence: the same alone and in a batch, one logit for two classes."""

from __future__ import annotations

import pytest
import torch

from common.models.sequence_classifier import ClassifiedBatch, SequenceClassifier

SEQUENCES = [[[4, 5], [6, 7], [5, 4]], [[5, 5]], [[6, 4], [4, 4]]]


def model(classes: int, **options) -> SequenceClassifier:
    torch.manual_seed(0)
    return SequenceClassifier(8, classes, embedding_size=6, hidden_size=5, **options).double()


def batch(classes: int) -> ClassifiedBatch:
    base = torch.randn(3, 1 if classes == 2 else classes, dtype=torch.float64)
    made = ClassifiedBatch.collate(SEQUENCES, [0, 1, classes - 1], base)
    return ClassifiedBatch(made.tokens, made.lengths, made.labels, base)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("through_time", [False, True])
def test_a_sequence_is_classified_the_same_alone_and_in_a_batch(classes, through_time):
    network = model(classes, bidirectional=not through_time, through_time=through_time).eval()
    several = batch(classes)
    together = network(several.tokens, several.lengths, several.base)
    for row, sequence in enumerate(SEQUENCES):
        alone = torch.tensor([sequence]), torch.tensor([len(sequence)]), several.base[row : row + 1]
        torch.testing.assert_close(together[row : row + 1], network(*alone))
    probabilities = network.probabilities(several)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    assert torch.equal(probabilities.argmax(1), network.predict(several))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_is_the_cross_entropy_after_the_last_step(classes):
    network, several = model(classes).eval(), batch(classes)
    loss = network.loss(several)
    right = network.probabilities(several)[torch.arange(3), several.labels]
    torch.testing.assert_close(loss.value, -right.log().mean().to(loss.value), rtol=1e-4, atol=1e-5)
    assert loss.count == 3
    loss.value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("classes", [2, 3])
def test_through_time_the_loss_is_a_mean_over_beginnings(classes):
    network = model(classes, bidirectional=False, through_time=True).eval()
    several = batch(classes)
    values = []
    for row, sequence in enumerate(SEQUENCES):
        ends = range(1, len(sequence) + 1)
        base = several.base[row : row + 1].expand(len(sequence), -1)
        begun = ClassifiedBatch.collate([sequence[:end] for end in ends], [0] * len(sequence), base)
        right = network.probabilities(begun)[:, several.labels[row]]
        values.append(-right.log().mean())
    expected = torch.stack(values).mean()
    loss = network.loss(several)
    torch.testing.assert_close(loss.value, expected.to(loss.value), rtol=1e-4, atol=1e-5)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="at least two classes"):
        model(1)
    with pytest.raises(ValueError, match="reads backwards"):
        model(2, through_time=True)
