"""The decoder: one pass equals its steps, for every way in; padding and batches change nothing.

Computed in float64, so that two routes to one number agree as far as any test looks.
"""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch

from common.decoding import BeamSearch, Context, RecurrentDecoder
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.recurrent import GRUCell, map_state
from tests.devices import drawn
from tests.tolerances import assert_same_sums

B, T, S, V, E, H, C, M = 3, 5, 4, 11, 6, 8, 7, 8

INJECTIONS = [("init",), ("first",), ("every",), ("output",), ("init", "first", "every", "output")]
ATTENTIONS = [None] + list(
    itertools.product(("additive", "dot", "general", "concat"), ("before", "after"))
)


def normal(*shape: int, seed: int | torch.Generator = 0) -> torch.Tensor:
    return drawn(torch.randn, shape, seed=seed, dtype=torch.double)


def make_context(batch: int = B) -> Context:
    generator = torch.Generator("cpu").manual_seed(1)
    memory = normal(batch, S, M, seed=generator)
    lengths = torch.tensor([4, 2, 3])[:batch]
    mask = torch.arange(S) < lengths.unsqueeze(1)
    return Context(normal(batch, C, seed=generator), memory, mask)


def make_decoder(**options) -> RecurrentDecoder:
    options = {"inject": ("init", "every"), "context_size": C, "memory_size": M} | options
    return RecurrentDecoder(V, E, H, **options).double().eval()


def make_tokens(batch: int = B, steps: int = T) -> torch.Tensor:
    return drawn(torch.randint, 4, V, (batch, steps), seed=2)


def collate(inputs: tuple[torch.Tensor, ...], sentences: list[list[int]]) -> Batch:
    return Batch.collate(inputs, sentences).to(torch.get_default_device())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("inject", INJECTIONS, ids="+".join)
@pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
def test_steps_equal_the_teacher_forced_pass(cell, inject, attention):
    options = {"attention": attention[0], "attend": attention[1]} if attention else {}
    decoder = make_decoder(cell=cell, inject=inject, **options)
    context, tokens = make_context(), make_tokens()
    whole = decoder(context, tokens)
    prepared = decoder.prepare(context)
    state = decoder.start(prepared)
    for t in range(T):
        logits, state, _ = decoder.step(tokens[:, t], state, prepared)
        torch.testing.assert_close(logits, whole[:, t])


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "attention": "additive"},
        {"num_layers": 2, "attention": "general", "attend": "after", "cell": "lstm"},
        {"attention": "additive", "gate": True, "deep_output": True, "readout": "maxout"},
        {"attention": "general", "attend": "after", "gate": True, "readout": "linear"},
        {"attention": "additive", "query_word": True, "inject": ("first",)},
        {"attention": "general", "query_word": True, "num_layers": 2, "gate": True},
        {"tie_embeddings": True, "readout_size": E},
        {"readout": "maxout", "readout_size": 5},
        {  # Cho et al. 2014, to the letter
            "cell": partial(GRUCell, reset_after=False),
            "inject": ("init", "every", "output"),
            "readout": "maxout",
            "deep_output": True,
        },
        {"cell": "lstm", "num_layers": 2, "inject": ("init",)},  # Sutskever et al. 2014
        {"attention": "general", "attend": "after", "input_feeding": True, "num_layers": 2},
        {
            "attention": "dot",
            "attend": "after",
            "input_feeding": True,
            "deep_output": True,
            "tie_embeddings": True,
            "inject": ("first", "every", "output"),
        },
        {"context_size": None, "inject": (), "attention": "additive"},
        {"context_size": None, "inject": ()},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.double, torch.float])
def test_options_combine_and_steps_still_equal_the_pass(options, dtype):
    decoder = make_decoder(**options).to(dtype)
    context, tokens = make_context(), make_tokens()
    context = Context(context.vector.to(dtype), context.memory.to(dtype), context.mask)
    whole = decoder(context, tokens)
    state = decoder.start(context)
    for t in range(T):
        logits, state, _ = decoder.step(tokens[:, t], state, context)
        # In two layers of T steps, then the readout: products with words, context, memory, state.
        assert_same_sums(logits, whole[:, t], terms=(2 * T + 1) * (E + C + M + H))


@pytest.mark.parametrize("inject", INJECTIONS, ids="+".join)
@pytest.mark.parametrize("attention", [None, "additive"])
def test_no_loop_over_time_where_nothing_forces_one(inject, attention, monkeypatch):
    decoder = make_decoder(inject=inject, attention=attention, attend="after", cell="gru")
    expected = [decoder.unroll(make_context(), make_tokens()).features]
    loops = "common.decoding.decoder.unroll_step_by_step", "common.recurrent.layer.scan"
    for name in loops:
        monkeypatch.setattr(name, None)
    found = [decoder.unroll(make_context(), make_tokens()).features]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    looping = make_decoder(attention="additive", attend="before")
    with pytest.raises(TypeError):  # the names are still those of the loops
        looping.unroll(make_context(), make_tokens())


@pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
def test_hypotheses_share_a_context_without_a_copy(attention):
    """Rows b K .. b K + K - 1 of a step read sentence b, as if the context had been repeated."""
    options = {"attention": attention[0], "attend": attention[1]} if attention else {}
    decoder = make_decoder(inject=("first", "every", "output"), **options)
    context = make_context()
    hypotheses = 3
    rows = torch.arange(B).repeat_interleave(hypotheses)
    tokens = make_tokens(B * hypotheses, 2)
    shared, repeated = decoder.prepare(context), decoder.prepare(context.select(rows))
    state = map_state(lambda part: part.repeat_interleave(hypotheses, 0), decoder.start(shared))
    for t in range(2):
        expected = decoder.step(tokens[:, t], state, repeated)
        logits, state, weights = decoder.step(tokens[:, t], state, shared)
        torch.testing.assert_close((logits, weights), (expected.logits, expected.weights))


@pytest.mark.parametrize("attend", ["before", "after"])
def test_padding_of_the_memory_has_no_weight_and_no_gradient(attend):
    decoder = make_decoder(attention="additive", attend=attend)
    context = make_context()
    memory = context.memory.clone().requires_grad_()
    unrolled = decoder.unroll(Context(context.vector, memory, context.mask), make_tokens())
    assert (unrolled.weights.masked_select(~context.mask.unsqueeze(1)) == 0).all()
    torch.testing.assert_close(unrolled.weights.sum(-1), torch.ones(B, T, dtype=torch.double))
    unrolled.features.sum().backward()
    assert (memory.grad[~context.mask] == 0).all()
    assert (memory.grad[context.mask] != 0).any()


@pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
def test_a_sentence_scores_the_same_alone_and_in_any_batch(attention):
    options = {"attention": attention[0], "attend": attention[1]} if attention else {}
    model = EncoderDecoder(lambda *parts: Context(*parts), make_decoder(**options)).eval()
    context = make_context()
    sentences = [[4, 5, 6], [7], [8, 9, 10, 4, 5]]
    inputs = (context.vector, context.memory, context.mask)
    together = model.loss(collate(inputs, sentences))
    alone = [
        model.loss(collate(tuple(part[i : i + 1] for part in inputs), [sentences[i]])).sums["nll"]
        for i in range(B)
    ]
    # A loss is summed up in float32: over the vocabulary, then over the words.
    assert_same_sums(together.sums["nll"], sum(alone), terms=V + 3 + 1 + 5 + B, dtype=torch.float32)
    assert together.count == 3 + 1 + 5 + B


@pytest.mark.parametrize("attend", ["before", "after"])
def test_padding_of_the_targets_reaches_no_gradient(attend):
    """The same sentences with more padding give the same gradients."""

    def gradients(extra: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        decoder = make_decoder(attention="additive", attend=attend, cell="lstm")
        model = EncoderDecoder(lambda *parts: Context(*parts), decoder)
        context = make_context()
        batch = collate((context.vector, context.memory, context.mask), [[4, 5, 6], [7], [8, 9]])
        wide = torch.nn.functional.pad(batch.targets, (0, extra))
        positions = (wide[:, 1:] != 0).flatten().nonzero().squeeze(1)
        model.loss(Batch(batch.inputs, wide, positions)).value.backward()
        return {name: weight.grad for name, weight in model.named_parameters()}

    narrow, wide = gradients(0), gradients(6)
    assert all(gradient is not None for gradient in narrow.values())
    for name, gradient in narrow.items():
        # A loss, and what it hands back, is computed in float32: sums over the vocabulary.
        assert_same_sums(gradient, wide[name], terms=V + B * T, dtype=torch.float32)


def test_first_loss_is_near_log_v_and_with_frequencies_near_their_entropy():
    decoder = RecurrentDecoder(500, 32, 32, C, inject=("init",))
    model = EncoderDecoder(lambda vector: Context(vector), decoder)
    sentences = [torch.randint(4, 500, (9,)).tolist() for _ in range(64)]
    batch = collate((torch.randn(64, C),), sentences)
    loss = model.loss(batch)
    assert abs(loss.value.item() - math.log(500)) < 0.1

    counts = torch.ones(500)
    counts[4] = 10_000
    decoder.set_output_bias(counts)
    batch = collate((torch.randn(8, C),), [[4] * 9] * 8)
    share = (counts + 1) / (counts + 1).sum()
    expected = -(9 * share[4].log() + share[2].log()) / 10
    assert abs(model.loss(batch).value.item() - expected.item()) < 0.2


@pytest.mark.parametrize("attend", ["before", "after"])
def test_gradients_agree_with_finite_differences(attend):
    decoder = RecurrentDecoder(
        6,
        3,
        4,
        3,
        memory_size=4,
        attention="additive",
        attend=attend,
        gate=True,
        inject=("init", "first", "every", "output"),
        deep_output=True,
    ).double()
    context = make_context()
    vector = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(2, S, 4, dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([[1, 4, 5], [1, 5, 4]])
    assert torch.autograd.gradcheck(
        lambda v, m: decoder(Context(v, m, context.mask[:2]), tokens), (vector, memory)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "inject": ("init",)},
        {"cell": "lstm", "inject": ("first",)},
        {"cell": "rnn", "inject": ("every", "output")},
        {"cell": partial(GRUCell, reset_after=False), "inject": ("init", "every", "output")},
        {"cell": "gru", "inject": ("init",), "attention": "additive"},
        {"cell": "gru", "inject": ("init",), "attention": "additive", "query_word": True},
        {"cell": "lstm", "inject": ("init",), "attention": "general", "attend": "after"},
    ],
    ids=str,
)
def test_overfits_a_handful_and_writes_it_back(options):
    decoder = RecurrentDecoder(V, 16, 32, C, memory_size=M, **options).double()
    model = EncoderDecoder(lambda *parts: Context(*parts), decoder)
    context = make_context()
    inputs = (context.vector, context.memory, context.mask)
    sentences = [[4, 5, 6, 7], [7, 7], [8, 9, 10, 4, 5]]
    batch = collate(inputs, sentences)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.value.backward()
        optimizer.step()
    assert loss.value.item() < 0.1
    model.eval()
    for beam_size in (1, 3):
        search = BeamSearch(beam_size=beam_size, max_length=10)
        found = model.generate(*inputs, search=search)
        assert [hypotheses[0].tokens for hypotheses in found] == sentences


def test_label_smoothing_by_hand_and_perplexity_untouched_by_it():
    decoder = make_decoder(inject=("init",))
    plain = EncoderDecoder(lambda vector: Context(vector), decoder)
    smoothed = EncoderDecoder(lambda vector: Context(vector), decoder, label_smoothing=0.2)
    batch = collate((normal(B, C),), [[4, 5], [6], [7, 8, 9]])
    log_p = decoder(Context(*batch.inputs), batch.targets[:, :-1]).log_softmax(-1)
    real = batch.targets[:, 1:] != 0
    nll = -log_p.gather(2, batch.targets[:, 1:, None]).squeeze(2)[real]
    expected = (0.8 * nll - 0.2 * log_p.mean(-1)[real]).mean()
    of_float32 = {"terms": 2 * V + len(nll), "dtype": torch.float32}  # as every loss is
    assert_same_sums(smoothed.train().loss(batch).value.item(), expected.item(), **of_float32)
    assert_same_sums(smoothed.loss(batch).sums["nll"], plain.loss(batch).sums["nll"], **of_float32)
    assert_same_sums(smoothed.eval().loss(batch).value.item(), nll.mean().item(), **of_float32)


def test_coverage_is_zero_when_every_region_is_seen_once():
    from common.decoding import coverage_penalty

    weights = torch.eye(4).expand(2, 4, 4)
    real = torch.ones(2, 4)
    assert coverage_penalty(weights, real) == 0
    real[:, 3] = 0  # the last step is padding: one region stays unseen, (1 - 0)^2
    assert coverage_penalty(weights, real) == 1
    mask = torch.tensor([True, True, True, False]).expand(2, 4)
    assert coverage_penalty(weights, real, mask) == 0


def test_tied_embeddings_are_one_matrix():
    decoder = make_decoder(tie_embeddings=True)
    assert decoder.output.weight is decoder.embedding.weight
    assert decoder(make_context(), make_tokens()).shape == (B, T, V)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inject": "init"}, "collection"),
        ({"inject": ("sometimes",)}, "inject"),
        ({"inject": ()}, "reaches no word"),
        ({"attention": "additive", "memory_size": None}, "memory_size"),
        ({"attention": "dot", "memory_size": H + 1}, "as wide as"),
        ({"attention": "sparse"}, "unknown attention"),
        ({"gate": True}, "without attention"),
        ({"context_size": None}, "language model"),
        ({"input_feeding": True}, "after the step"),
        ({"input_feeding": True, "attention": "dot"}, "after the step"),
        ({"attention": lambda *sizes: torch.nn.Linear(*sizes)}, "makes a Linear, not an Attention"),
        ({"tie_embeddings": True, "readout_size": E + 1}, "tied"),
        ({"attend": "during", "attention": "dot"}, "before"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_decoder(**options)


def test_what_a_context_lacks_is_named():
    with pytest.raises(ValueError, match="memory"):
        make_decoder(attention="additive")(Context(normal(B, C)), make_tokens())
    with pytest.raises(ValueError, match="with a vector"):
        make_decoder()(Context(memory=normal(B, S, M)), make_tokens())
    with pytest.raises(ValueError, match="Context.nothing"):
        Context()


def test_additive_attention_by_hand():
    from common.decoding import AdditiveAttention

    attention = AdditiveAttention(1, 1, 1).double()
    with torch.no_grad():
        for weight in (attention.query.weight, attention.memory.weight, attention.score.weight):
            weight.fill_(1.0)
        attention.memory.bias.zero_()
    memory = torch.tensor([[[0.0], [1.0]]]).double()
    read, weights, state = attention(memory[:, 1:], attention.prepare(memory))
    assert state == ()
    scores = [math.exp(math.tanh(1.0)), math.exp(math.tanh(2.0))]
    torch.testing.assert_close(weights[0, 0, 1].item(), scores[1] / sum(scores))
    torch.testing.assert_close(read.item(), scores[1] / sum(scores))
