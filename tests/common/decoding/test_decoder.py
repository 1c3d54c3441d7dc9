"""The decoder: one pass equals its steps, for all options; padding and batches change nothing."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from common.decoding import BeamSearch, Context, Greedy, RecurrentDecoder, SampledInputs
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.recurrent import GRUCell, map_state, select_rows
from common.text.vocabulary import BOS, EOS
from tests.common.decoding.decoders import (
    ATTENTIONS,
    INJECTIONS,
    OPEN,
    OPTIONS,
    SENTENCES,
    B,
    C,
    E,
    H,
    M,
    S,
    T,
    V,
    collate,
    make_context,
    make_decoder,
    make_inputs,
    make_model,
    make_tokens,
    normal,
)
from tests.devices import drawn
from tests.tolerances import assert_same_sums

every_kind = pytest.mark.parametrize("kind", OPEN)
every_attention = pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
before_and_after = pytest.mark.parametrize("attend", ["before", "after"])


# -- one pass and its steps ------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("inject", INJECTIONS, ids="+".join)
@every_attention
def test_steps_equal_the_teacher_forced_pass(cell, inject, attention):
    decoder = make_decoder(cell=cell, inject=inject, **attention)
    context, tokens = make_context(), make_tokens()
    whole = decoder(context, tokens)
    prepared = decoder.prepare(context)
    state = decoder.start(prepared)
    for t in range(T):
        logits, state, _ = decoder.step(tokens[:, t], state, prepared)
        torch.testing.assert_close(logits, whole[:, t])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [torch.double, torch.float])
def test_options_combine_and_steps_still_equal_the_pass(options, dtype):
    decoder = make_decoder(**options).to(dtype)
    vector, memory, mask = make_inputs()
    context, tokens = Context(vector.to(dtype), memory.to(dtype), mask), make_tokens()
    features, whole_weights = decoder.unroll(context, tokens)
    state = decoder.start(context)
    for t in range(T):
        logits, state, weights = decoder.step(tokens[:, t], state, context)
        # In two layers of T steps, then the readout: products with words, context, memory, state.
        terms = (2 * T + 1) * (E + C + M + H)
        assert_same_sums(logits, decoder.logits(features)[:, t], terms=terms)
        if weights is not None:
            assert_same_sums(weights, whole_weights[:, t], terms=terms)


@pytest.mark.parametrize("inject", INJECTIONS, ids="+".join)
@pytest.mark.parametrize("attention", [None, "additive"])
def test_no_loop_over_time_where_it_is_not_needed(inject, attention, monkeypatch):
    decoder = make_decoder(inject=inject, attention=attention, attend="after", cell="gru")
    expected = decoder.unroll(make_context(), make_tokens()).features
    loops = "common.decoding.decoder.unroll_step_by_step", "common.recurrent.layer.scan"
    for name in loops:
        monkeypatch.setattr(name, None)
    found = decoder.unroll(make_context(), make_tokens()).features
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    looping = make_decoder(attention="additive", attend="before")
    with pytest.raises(TypeError):  # the names are still those of the loops
        looping.unroll(make_context(), make_tokens())


@pytest.mark.parametrize("options", [*ATTENTIONS, *OPEN.values()], ids=str)
def test_hypotheses_share_a_context_without_a_copy(options):
    """Rows b K .. b K + K - 1 of a step read sentence b, as if the context had been repeated."""
    decoder = make_decoder(2, **{"inject": ("first", "every", "output")} | options)
    context, hypotheses = make_context(), 3
    rows = torch.arange(B).repeat_interleave(hypotheses)
    tokens = make_tokens(B * hypotheses, 3)
    shared, repeated = decoder.prepare(context), decoder.prepare(context.select(rows))
    state = select_rows(decoder.start(shared), rows)
    for t in range(3):
        expected = decoder.step(tokens[:, t], state, repeated)
        found = decoder.step(tokens[:, t], state, shared)
        torch.testing.assert_close(found, expected)
        state = found.state


@every_kind
@pytest.mark.parametrize("sampled", [False, True])
def test_the_deferred_loop_has_the_gradient_of_the_steps(kind, sampled):
    decoder = make_decoder(2, **OPEN[kind])
    vector, memory, mask = make_inputs()
    leaves = [vector.requires_grad_(), memory.requires_grad_(), *decoder.parameters()]
    tokens, context = make_tokens(), Context(vector, memory, mask)
    where = torch.rand(B, T, generator=torch.Generator("cpu").manual_seed(3), device="cpu") < 0.5
    where[:, 0] = False
    inputs = SampledInputs(where, lambda logits: logits.argmax(1)) if sampled else None
    whole = decoder.logits(decoder.unroll(context, tokens, inputs).features)

    state, stepped = decoder.start(context), []
    for t in range(T):
        fed = tokens[:, t]
        if sampled and t:
            fed = torch.where(where[:, t].to(fed.device), stepped[-1].argmax(1), fed)
        logits, state, _ = decoder.step(fed, state, context)
        stepped.append(logits)
    torch.testing.assert_close(whole, torch.stack(stepped, 1))
    weights = normal(B, T, V, seed=4)
    found, expected = (
        torch.autograd.grad(
            (logits * weights).sum(), leaves, materialize_grads=True, allow_unused=True
        )
        for logits in (whole, torch.stack(stepped, 1))
    )
    torch.testing.assert_close(found, expected)


def test_steps_are_pure():
    decoder = make_decoder(2, **OPEN["both"])
    context = decoder.prepare(make_context())
    state = decoder.start(context)
    before = map_state(torch.clone, state)
    results = [decoder.step(make_tokens()[:, 0], state, context) for _ in range(2)]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    torch.testing.assert_close(state, before, rtol=0, atol=0)


# -- batches and padding ---------------------------------------------------------------------------


@before_and_after
def test_padding_of_the_memory_has_no_weight_and_no_gradient(attend):
    decoder = make_decoder(attention="additive", attend=attend)
    vector, memory, mask = make_inputs()
    unrolled = decoder.unroll(Context(vector, memory.requires_grad_(), mask), make_tokens())
    assert (unrolled.weights.masked_select(~mask.unsqueeze(1)) == 0).all()
    torch.testing.assert_close(unrolled.weights.sum(-1), torch.ones(B, T, dtype=torch.double))
    unrolled.features.sum().backward()
    assert (memory.grad[~mask] == 0).all()
    assert (memory.grad[mask] != 0).any()


@every_attention
def test_a_sentence_scores_the_same_alone_and_in_any_batch(attention):
    model, inputs = make_model(attention).eval(), make_inputs()
    together = model.loss(collate(inputs, SENTENCES))
    alone = [
        model.loss(collate(tuple(part[i : i + 1] for part in inputs), [SENTENCES[i]])).sums["nll"]
        for i in range(B)
    ]
    # A loss is summed up in float32: over the vocabulary, then over the words.
    words = sum(len(sentence) + 1 for sentence in SENTENCES)
    assert_same_sums(together.sums["nll"], sum(alone), terms=V + words, dtype=torch.float32)
    assert together.count == words


@before_and_after
def test_padding_of_the_targets_reaches_no_gradient(attend):
    """The same sentences with more padding give the same gradients."""

    def gradients(extra: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        model = make_model({"attention": "additive", "attend": attend, "cell": "lstm"})
        batch = collate(make_inputs(), SENTENCES)
        wide = torch.nn.functional.pad(batch.targets, (0, extra))
        model.loss(Batch.collate(batch.inputs, wide)).value.backward()
        return {name: weight.grad for name, weight in model.named_parameters()}

    narrow, wide = gradients(0), gradients(6)
    assert all(gradient is not None for gradient in narrow.values())
    for name, gradient in narrow.items():
        # A loss, and what it hands back, is computed in float32: sums over the vocabulary.
        assert_same_sums(gradient, wide[name], terms=V + B * T, dtype=torch.float32)


@every_kind
@pytest.mark.parametrize("prune", [True, False])
def test_a_search_of_one_sentence_and_of_a_batch_and_its_attention(kind, prune):
    model, inputs, longest = make_model(OPEN[kind]), make_inputs(), [4, 9, 6]
    search = BeamSearch(beam_size=3, n_best=2, max_length=9)
    special = {"bos": BOS, "eos": EOS, "keep_attention": True, "prune": prune}
    found = search(model.decoder, Context(*inputs), max_length=longest, **special)
    for row, best in enumerate(found):
        own = tuple(part[row : row + 1] for part in inputs)
        (alone,) = search(model.decoder, Context(*own), max_length=[longest[row]], **special)
        assert [h.tokens for h in best] == [h.tokens for h in alone]
        for hypothesis in best:
            weights = model.attention_weights(own, [hypothesis.tokens])
            if weights is None:
                assert hypothesis.attention is None
                continue
            rows = len(hypothesis.tokens) + hypothesis.finished
            assert hypothesis.attention.shape == (rows, S)
            torch.testing.assert_close(hypothesis.attention, weights[0][:rows])
    plain = search(model.decoder, Context(*inputs), bos=BOS, eos=EOS)
    assert all(h.attention is None for best in plain for h in best)


@every_kind
def test_an_ensemble_of_different_states(kind):
    ensemble = EnsembleModel([make_model(OPEN[name]) for name in (kind, "factory", "fast_weights")])
    found = ensemble.generate(*make_inputs(), search=Greedy(max_length=7), keep_attention=True)
    sentences = [best[0].tokens for best in found]
    expected = ensemble.attention_weights(make_inputs(), sentences)
    for (hypothesis,), weights in zip(found, expected, strict=True):
        rows = len(hypothesis.tokens) + hypothesis.finished
        torch.testing.assert_close(hypothesis.attention, weights[:rows])


# -- learning --------------------------------------------------------------------------------------


@before_and_after
def test_gradients_agree_with_finite_differences(attend):
    decoder = make_decoder(
        attention="additive", attend=attend, gate=True, deep_output=True,
        inject=("init", "first", "every", "output"),
    )  # fmt: skip
    vector, memory, mask = make_inputs()
    tokens = make_tokens(steps=3)
    assert torch.autograd.gradcheck(
        lambda v, m: decoder(Context(v, m, mask), tokens),
        (vector.requires_grad_(), memory.requires_grad_()),
    )


@pytest.mark.parametrize(
    "options",
    [
        *OPEN.values(),
        {"cell": "gru", "inject": ("init",)},
        {"cell": "lstm", "inject": ("first",)},
        {"cell": "rnn", "inject": ("every", "output")},
        {"cell": partial(GRUCell, reset_after=False), "inject": ("init", "every", "output")},
        {"inject": ("init",), "attention": "additive", "query_word": True},
        {"cell": "lstm", "inject": ("init",), "attention": "general", "attend": "after"},
    ],
    ids=str,
)
def test_it_learns_a_few_sentences_and_generates_them(options):
    model, inputs = make_model(options).train(), make_inputs()
    batch = collate(inputs, SENTENCES)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.value.backward()
        optimizer.step()
    assert loss.value.item() < 0.1
    model.eval()
    for search in (Greedy(max_length=10), BeamSearch(beam_size=3, max_length=10)):
        found = model.generate(*inputs, search=search)
        assert [best[0].tokens for best in found] == SENTENCES


def test_first_loss_is_near_log_v_and_with_frequencies_near_their_entropy():
    decoder = RecurrentDecoder(500, 32, 32, C, inject=("init",))
    model = EncoderDecoder(Context, decoder)
    sentences = drawn(torch.randint, 4, 500, (64, 9), seed=0).tolist()
    loss = model.loss(collate((torch.randn(64, C),), sentences))
    assert abs(loss.value.item() - math.log(500)) < 0.1

    counts = torch.ones(500)
    counts[4] = 10_000
    decoder.set_output_bias(counts)
    batch = collate((torch.randn(8, C),), [[4] * 9] * 8)
    probability = (counts + 1) / (counts + 1).sum()
    expected = -(9 * probability[4].log() + probability[2].log()) / 10
    assert abs(model.loss(batch).value.item() - expected.item()) < 0.2


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inject": "init"}, "collection"),
        ({"inject": ("sometimes",)}, "inject"),
        ({"inject": ()}, "is not used"),
        ({"attention": "additive", "memory_size": None}, "memory_size"),
        ({"attention": "dot", "memory_size": H + 1}, "as wide as"),
        ({"attention": "sparse"}, "unknown attention 'sparse': use additive, dot, general, concat"),
        ({"gate": True}, "needs attention"),
        ({"query_word": True, "attention": "dot", "attend": "after"}, "before the step"),
        ({"context_size": None}, "language model"),
        ({"input_feeding": True}, "after the step"),
        ({"input_feeding": True, "attention": "dot"}, "after the step"),
        ({"attention": torch.nn.Linear}, "makes a Linear, not an Attention"),
        ({"tie_embeddings": True, "readout_size": E + 1}, "tied"),
        ({"attend": "during", "attention": "dot"}, "before"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(ValueError, match=message):
        make_decoder(**options)


def test_a_context_without_what_the_decoder_needs():
    with pytest.raises(ValueError, match="memory"):
        make_decoder(attention="additive")(Context(normal(B, C)), make_tokens())
    with pytest.raises(ValueError, match="with a vector"):
        make_decoder()(Context(memory=normal(B, S, M)), make_tokens())
    with pytest.raises(ValueError, match="Context.nothing"):
        Context()
