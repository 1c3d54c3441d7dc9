"""A language model: the same text scores the same however it is cut, searched or padded."""

from __future__ import annotations

import pytest
import torch

from common.data.texts import TextTokens
from common.decoding.search import Greedy, Sampling
from common.models.language_model import (
    LanguageModel,
    LockedDropout,
    Prefix,
    score,
)
from common.models.text_batches import TextBatch, text_batches
from common.models.text_writer import TextWriter
from common.recurrent.state import state_tensors
from common.text.vocabulary import BOS, EOS, PAD, Vocabulary
from tests.tolerances import assert_same_sums

pytestmark = pytest.mark.numerical
TERMS = 100  # roundings of a loss: products of 6 features at 8 steps, and a sum over 24 tokens
V = 9


def model(**changes) -> LanguageModel:
    torch.manual_seed(1)
    return LanguageModel(V, **{"embedding_size": 5, "hidden_size": 6, **changes})


def text(batch: int = 3, steps: int = 7) -> torch.Tensor:
    return torch.randint(4, V, (batch, steps))


SORTS = [
    {},
    {"embedding_size": None, "cell": "rnn", "initialization": "orthogonal"},
    {"tie_embeddings": True, "cell": "lstm", "num_layers": 2},
    {"tie_embeddings": True, "hidden_size": 5},
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("changes", SORTS)
def test_step_by_step_equals_all_at_once(changes):
    network, tokens = model(**changes).eval(), text()
    expected, _ = network(tokens)
    prefix = Prefix(tokens[:, :3])
    state = network.start(network.prepare(prefix))
    logits, state, _ = network.step(torch.full((3,), BOS), state, prefix)
    torch.testing.assert_close(logits, expected[:, 2])
    for t in range(3, 7):
        logits, state, _ = network.step(tokens[:, t], state, prefix)
        torch.testing.assert_close(logits, expected[:, t])


@pytest.mark.usefixtures("float64")
def test_a_search_continues_each_prefix_by_itself():
    network, tokens = model().eval(), text(2, 4)
    found = Greedy(max_length=5)(network, Prefix(tokens), bos=BOS, eos=EOS, pad=PAD)
    for row, (best,) in zip(tokens, found, strict=True):
        so_far = row.tolist()
        for token in best.tokens:
            logits = network(torch.tensor([so_far]))[0][0, -1]
            logits[[PAD, BOS]] = -torch.inf
            assert token == int(logits.argmax())
            so_far.append(token)


def test_texts_are_written_after_a_prefix():
    words = Vocabulary(["a", "b", "c", "d", "e"])
    for lines in (False, True):
        writer = TextWriter(model().eval(), words, TextTokens("characters", lines))
        search = Sampling(num_samples=4, max_length=20, min_length=20)
        texts = writer.write("ab", search)
        assert len(texts) == 4 and all(len(each) == 22 and each[:2] == "ab" for each in texts)
        assert texts == writer.write("ab", search) != writer.write("ab", search, seed=1)
        assert set("".join(writer.write("", search))) <= set("abcde")


def test_tokens_that_the_training_text_lacks_begin_as_improbable():
    network = model().eval()
    network.set_unseen(torch.tensor([0, 0, 3, 0, 1, 1, 1, 1, 0]))
    probabilities = network(text())[0].softmax(-1)
    assert probabilities[..., [0, 1, 3, 8]].max() < 1e-3 < probabilities[..., 2].min()


def test_a_batch_that_continues_another_begins_in_its_last_state():
    tokens, targets = text(3, 8), text(3, 8)
    network = model(rows=3)
    whole = network.loss(TextBatch(tokens, targets))
    first = network.loss(TextBatch(tokens[:, :5], targets[:, :5]))
    then = network.loss(TextBatch(tokens[:, 5:], targets[:, 5:], continues=True))
    assert_same_sums((first + then).value, whole.value, terms=TERMS)
    then.value.backward()  # reaches no step of the batch before, whose graph may be gone
    other = model(rows=3)
    other.load_state_dict(network.state_dict())
    for one, two in zip(
        state_tensors(other.carried.state()), state_tensors(network.carried.state()), strict=True
    ):
        assert torch.equal(one, two) and one.any()


def test_an_evaluation_neither_takes_nor_leaves_a_state():
    tokens, targets = text(), text()
    network = model(rows=3)
    network.loss(TextBatch(tokens, targets))
    kept = [part.clone() for part in network.carried.buffers()]
    loss = network.eval().loss(TextBatch(tokens, targets, continues=True))
    fresh = model().eval().loss(TextBatch(tokens, targets))
    assert_same_sums(loss.value, fresh.value, terms=TERMS)
    assert all(map(torch.equal, kept, network.carried.buffers()))


def test_scores_are_those_of_the_loss_and_padding_is_not_among_them():
    network, tokens, targets = model().eval(), text(4, 6), text(4, 6)
    targets[1, 4:] = PAD
    tokens[1, 4:] = 8
    scores, loss = score(network, tokens, targets), network.loss(TextBatch(tokens, targets))
    assert int(loss.count) == 22
    assert_same_sums(scores.loss, loss.value.item(), terms=TERMS)
    assert scores.accuracy == pytest.approx(int(loss.sums["correct"]) / 22)
    assert len(scores.by_position) == 6
    last = network.loss(TextBatch(tokens, targets.where(torch.arange(6) == 5, PAD)))
    assert_same_sums(scores.by_position[5], last.value.item(), terms=TERMS)


def test_batches_hold_each_text_once_and_little_padding():
    tokens = torch.arange(1, 51).repeat(30, 1)
    lengths = torch.arange(30) + 1
    targets = tokens.where(torch.arange(50) < lengths.unsqueeze(1), PAD)
    batches = list(text_batches(tokens, targets, 10, seed=3, epoch=1))
    found = sorted(n for batch in batches for n in (batch.targets != PAD).sum(1).tolist())
    assert found == lengths.tolist()
    assert sorted(batch.tokens.shape[1] for batch in batches) == [10, 20, 30]


def test_dropout_of_tokens_and_of_features():
    network = model(token_dropout=0.5, tie_embeddings=True)
    embedded = network.embed(torch.arange(V).repeat(2, 1))
    dropped = (embedded == 0).all(-1)
    assert torch.equal(dropped[0], dropped[1]) and 0 < int(dropped[0].sum()) < V
    values = LockedDropout(0.5)(torch.ones(3, 4, 50))
    assert torch.equal(values, values[:, :1].expand_as(values))
    assert set(values.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(values[0], values[1])
    assert torch.equal(LockedDropout(0.5).eval()(values), values)


def test_one_hot_tokens_cannot_be_tied():
    assert model(tie_embeddings=True).output.weight is not None
    with pytest.raises(ValueError, match="one-hot"):
        model(embedding_size=None, tie_embeddings=True)
