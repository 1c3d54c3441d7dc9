"""A tagger labels every real step, and padding reaches nothing."""

from __future__ import annotations

import pytest
import torch

from common.models.sequence_tagger import SequenceTagger, TaggedBatch
from common.text.vocabulary import UNK

SEQUENCES = [[4, 5, 6, 7], [5], [6, 4]]
LABELS = [[0, 1, 2, 0], [1], [2, -1]]  # the last step has a label that the model does not know


def tagger(**options) -> SequenceTagger:
    torch.manual_seed(0)
    sizes = {"embedding_size": 6, "hidden_size": 5}
    return SequenceTagger(8, 3, **(sizes | options)).double()


@pytest.mark.parametrize("options", [{}, {"cell": "gru", "num_layers": 2, "bidirectional": False}])
def test_a_sequence_is_tagged_the_same_alone_and_in_a_batch(options):
    model = tagger(**options).eval()
    batch = TaggedBatch.collate(SEQUENCES, LABELS)
    together = model(batch.tokens, batch.lengths)
    for row, sequence in enumerate(SEQUENCES):
        alone = model(torch.tensor([sequence]), torch.tensor([len(sequence)]))
        torch.testing.assert_close(together[row, : len(sequence)], alone[0])
    predicted = model.predict(batch)
    assert [len(tags) for tags in predicted] == [4, 1, 2]


def test_the_loss_is_a_mean_over_the_steps_that_have_a_label():
    model = tagger().eval()
    batch = TaggedBatch.collate(SEQUENCES, LABELS)
    logits = model(batch.tokens, batch.lengths)
    real = [(row, step, tag) for row, tags in enumerate(LABELS) for step, tag in enumerate(tags)]
    real = [each for each in real if each[2] >= 0]
    by_hand = torch.stack([-logits[row, step].log_softmax(0)[tag] for row, step, tag in real])
    loss = model.loss(batch)
    torch.testing.assert_close(loss.value.double(), by_hand.mean(), atol=1e-6, rtol=1e-6)
    assert loss.count == len(real) == 6
    right = sum(int(logits[row, step].argmax()) == tag for row, step, tag in real)
    assert loss.sums["accuracy"] == right
    loss.value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_unknown_tokens_are_learnt_from_others():
    model = tagger(unknown=UNK, unknown_rate=0.5)
    model.loss(TaggedBatch.collate(SEQUENCES, LABELS)).value.backward()
    assert model.embedding.weight.grad[UNK].abs().sum() > 0
    model.zero_grad()
    model.eval().loss(TaggedBatch.collate(SEQUENCES, LABELS)).value.backward()
    assert model.embedding.weight.grad[UNK].abs().sum() == 0


def test_the_features_of_a_step_are_summed_and_only_the_first_is_hidden():
    model = tagger(unknown=UNK, unknown_rate=1.0)
    features = [[[token, 4, 7] for token in sequence] for sequence in SEQUENCES]
    batch = TaggedBatch.collate(features, LABELS)
    assert batch.tokens.shape == (3, 4, 3)
    model.loss(batch).value.backward()
    seen = model.embedding.weight.grad.abs().sum(1) > 0
    assert seen.nonzero().flatten().tolist() == [UNK, 4, 7]
    model.eval()
    expected = model.embedding.weight[batch.tokens].sum(2)
    outputs, _ = model.recurrent(expected, batch.lengths)
    torch.testing.assert_close(model(batch.tokens, batch.lengths), model.output(outputs))


def test_it_learns_what_depends_on_the_other_steps():
    """The label of a step is whether its token equals the last one of the sequence."""
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(4, 8, (n,), generator=generator).tolist() for n in (3, 4, 5) * 20]
    labels = [[int(token == row[-1]) for token in row] for row in rows]
    batch = TaggedBatch.collate(rows, labels)
    model = tagger(cell="gru", embedding_size=16, hidden_size=24).float()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(batch).value.backward()
        optimizer.step()
    assert [tags.tolist() for tags in model.predict(batch)] == labels
