"""Scheduled sampling: none sampled is teacher forcing, all sampled is greedy search.

Computed in float64: two routes to one number agree, and the likeliest word is the same by both.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from common.decoding import (
    Context,
    RecurrentDecoder,
    ScheduledSampling,
    constant_ratio,
    exponential_ratio,
    inverse_sigmoid_ratio,
    linear_ratio,
)
from common.decoding.scheduled_sampling import SampledInputs
from common.text.vocabulary import BOS, EOS, PAD
from tests.common.decoding.fake_models import greedy
from tests.devices import drawn

B, T, S, V, E, H, C, M = 4, 6, 4, 11, 6, 8, 7, 8

ATTENTIONS = [None] + list(
    itertools.product(("additive", "dot", "general", "concat"), ("before", "after"))
)
INJECTIONS = [("init",), ("first", "every"), ("init", "first", "every", "output")]


def make_context() -> Context:
    generator = torch.Generator("cpu").manual_seed(1)
    memory = drawn(torch.randn, B, S, M, dtype=torch.double, seed=generator)
    mask = torch.arange(S) < torch.tensor([4, 2, 3, 1]).unsqueeze(1)
    return Context(drawn(torch.randn, B, C, dtype=torch.double, seed=generator), memory, mask)


def make_decoder(attention=None, **options) -> RecurrentDecoder:
    torch.manual_seed(0)
    chosen = {"attention": attention[0], "attend": attention[1]} if attention else {}
    chosen = {"inject": ("init", "every"), "memory_size": M} | chosen | options
    decoder = RecurrentDecoder(V, E, H, C, **chosen).double().eval()
    with torch.no_grad():  # a fresh decoder predicts the same word again and again
        for parameter in decoder.parameters():
            parameter.mul_(3)
    return decoder


def make_tokens() -> Tensor:
    tokens = drawn(torch.randint, 4, V, (B, T), seed=2)
    tokens[:, 0] = BOS
    return tokens


def likeliest(logits: Tensor) -> Tensor:
    return logits.argmax(dim=1)


def some(probability: float = 0.5) -> Tensor:
    where = drawn(torch.rand, B, T, seed=3) < probability
    where[:, 0] = False
    return where


def of_logits() -> Tensor:
    """What a loss would weigh the logits by."""
    return drawn(torch.randn, B, T, V, dtype=torch.double, seed=4)


def gradients(decoder: RecurrentDecoder, features: Tensor) -> dict[str, Tensor]:
    weights = of_logits()
    parameters = dict(decoder.named_parameters())
    total = (decoder.logits(features) * weights).sum()
    found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    return {name: grad for name, grad in zip(parameters, found, strict=True) if grad is not None}


def assert_alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], msg=name)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("inject", INJECTIONS, ids="+".join)
@pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
def test_none_sampled_is_teacher_forcing(cell, inject, attention):
    decoder = make_decoder(attention, cell=cell, inject=inject)
    context, tokens = make_context(), make_tokens()
    forced = decoder.unroll(context, tokens)
    nowhere = SampledInputs(torch.zeros(B, T, dtype=torch.bool), likeliest)
    stepped = decoder.unroll(context, tokens, nowhere)
    torch.testing.assert_close(stepped.features, forced.features)
    if attention:
        torch.testing.assert_close(stepped.weights, forced.weights)
    assert_alike(gradients(decoder, stepped.features), gradients(decoder, forced.features))


@pytest.mark.parametrize(
    "options",
    [
        {"inject": inject, "attention": attention}
        for inject, attention in itertools.product(INJECTIONS, ATTENTIONS)
    ]
    + [
        {"num_layers": 2, "attention": ("additive", "before"), "cell": "lstm"},
        {
            "deep_output": True,
            "gate": True,
            "query_word": True,
            "attention": ("additive", "before"),
        },
        {"deep_output": True, "readout": "maxout", "attention": ("general", "after")},
        {"tie_embeddings": True},
        {"input_feeding": True, "attention": ("general", "after"), "deep_output": True},
    ],
    ids=str,
)
def test_a_naive_loop_feeds_the_same_tokens_and_has_the_same_gradient(options):
    decoder = make_decoder(**options)
    context, tokens, where = make_context(), make_tokens(), some()
    sampled = decoder.unroll(context, tokens, SampledInputs(where, likeliest))

    state, fed, logits = decoder.start(context), tokens[:, 0], []
    for t in range(T):
        if t:
            fed = torch.where(where[:, t], logits[-1].argmax(dim=1), tokens[:, t])
        step_logits, state, _ = decoder.step(fed, state, context)
        logits.append(step_logits)
    naive = torch.stack(logits, 1)
    torch.testing.assert_close(decoder.logits(sampled.features), naive)

    weights = of_logits()
    parameters = dict(decoder.named_parameters())
    found = torch.autograd.grad(
        (naive * weights).sum(), list(parameters.values()), allow_unused=True
    )
    expected = {n: g for n, g in zip(parameters, found, strict=True) if g is not None}
    assert_alike(gradients(decoder, sampled.features), expected)


@pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
def test_all_sampled_is_greedy_search(attention):
    decoder = make_decoder(attention)
    context = make_context()
    sampling = ScheduledSampling(constant_ratio(0.0), forbidden=(PAD, BOS))
    masks = sampling.draw(B, T)
    assert masks is not None
    predicted: list[Tensor] = []

    def choose(logits: Tensor) -> Tensor:
        predicted.append(masks.choose(logits))
        return predicted[-1]

    decoder.unroll(context, make_tokens(), SampledInputs(masks.where, choose))
    options = {"bos": BOS, "eos": EOS, "forbidden": (PAD, BOS), "max_length": T - 1}
    found = greedy(decoder, context, **options)
    lengths = []
    for row, (hypothesis, *_) in zip(torch.stack(predicted, 1).tolist(), found, strict=True):
        length = row.index(EOS) if EOS in row else T - 1
        assert row[:length] == hypothesis.tokens
        lengths.append(length)
    assert max(lengths) > 1


@pytest.mark.parametrize("attention", [None, ("additive", "before"), ("general", "after")])
def test_padding_reaches_no_gradient_even_where_it_is_a_prediction(attention):
    decoder = make_decoder(attention)
    context, tokens, where = make_context(), make_tokens(), some()
    lengths = torch.tensor([6, 2, 4, 1])
    real = torch.arange(T) < lengths.unsqueeze(1)

    def of_real_steps(where: Tensor) -> dict[str, Tensor]:
        padded = tokens.masked_fill(~real, PAD)
        features = decoder.unroll(context, padded, SampledInputs(where, likeliest)).features
        return gradients(decoder, features * real.unsqueeze(2))

    assert_alike(of_real_steps(where | ~real), of_real_steps(where & real))


@pytest.mark.parametrize("attention", [None, ("additive", "before"), ("general", "after")])
def test_no_weight_loses_its_gradient_under_autocast(attention):
    """Autocast remembers what it casts for a choice of words: the loss needs it with a gradient."""
    decoder = make_decoder(attention, inject=("init", "every", "output")).float()
    wide = make_context()
    context = Context(wide.vector.float(), wide.memory.float(), wide.mask)

    def norms(where: Tensor) -> dict[str, float]:
        with torch.autocast(context.vector.device.type, torch.bfloat16):
            unrolled = decoder.unroll(context, make_tokens(), SampledInputs(where, likeliest))
            found = gradients(decoder, unrolled.features)
        return {name: gradient.norm().item() for name, gradient in found.items()}

    sampled, forced = norms(some()), norms(torch.zeros(B, T, dtype=torch.bool))
    assert sampled.keys() == forced.keys()
    assert all(norm > 0 for name, norm in sampled.items() if forced[name] > 0)


def test_the_ratio_falls_as_the_paper_says():
    assert [constant_ratio(0.3)(step) for step in (0, 10**9)] == [0.3, 0.3]
    assert [linear_ratio(100, floor=0.2)(step) for step in (0, 25, 80, 500)] == [
        1, 0.75, pytest.approx(0.2), 0.2,
    ]  # fmt: skip
    assert exponential_ratio(0.5)(3) == 0.125
    assert exponential_ratio(0.5, floor=0.25)(3) == 0.25
    k = 20.0
    for step in (0, 10, 60, 200):
        ratio = inverse_sigmoid_ratio(k * math.log(k))
        assert ratio(step) == pytest.approx(k / (k + math.exp(step / k)))
    for steps in (1, 60, 5000):
        assert inverse_sigmoid_ratio(steps)(steps) == pytest.approx(0.5)
    assert inverse_sigmoid_ratio(0)(1) == pytest.approx(1 / (1 + math.e))  # k = 1
    assert inverse_sigmoid_ratio(0)(10**9) == pytest.approx(0, abs=1e-12)
    assert inverse_sigmoid_ratio(0, floor=0.1)(10**9) == 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda: constant_ratio(1.5),
        lambda: linear_ratio(0),
        lambda: linear_ratio(10, floor=-0.1),
        lambda: exponential_ratio(1.0),
        lambda: inverse_sigmoid_ratio(-1),
        lambda: ScheduledSampling(constant_ratio(1), per="batch"),
        lambda: ScheduledSampling(constant_ratio(1), words="best"),
    ],
)
def test_what_cannot_be_is_named(make):
    with pytest.raises(ValueError, match=r"probability|at least|between|token|likeliest"):
        make()


def test_draws_per_token_and_per_sentence():
    torch.manual_seed(0)
    tokens = ScheduledSampling(constant_ratio(0.7)).draw(400, 20)
    sentences = ScheduledSampling(constant_ratio(0.7), per="sentence").draw(400, 20)
    assert tokens is not None and sentences is not None
    for where in (tokens.where, sentences.where):
        assert where.shape == (400, 20)
        assert not where[:, 0].any()  # the start token is never a prediction
        assert where[:, 1:].float().mean() == pytest.approx(0.3, abs=0.06)
    assert (sentences.where[:, 1:] == sentences.where[:, 1:2]).all()
    assert not (tokens.where[:, 1:] == tokens.where[:, 1:2]).all()


def test_teacher_forcing_costs_nothing_and_draws_nothing():
    sampling = ScheduledSampling(linear_ratio(2))
    before = torch.get_rng_state()
    assert sampling.draw(B, T) is None
    assert torch.equal(torch.get_rng_state(), before)
    assert sampling.draw(100, T) is not None  # the second batch: one half
    assert sampling.batches == 2


def test_predictions_are_likeliest_or_sampled_and_never_forbidden():
    logits = torch.tensor([[9.0, 0.0, 1.0, 1.0]]).expand(2_000, 4)
    chosen = ScheduledSampling(constant_ratio(0), forbidden=[0]).choose(logits)
    assert set(chosen.tolist()) <= {2, 3}
    torch.manual_seed(0)
    chosen = ScheduledSampling(constant_ratio(0), words="sampled", forbidden=[0]).choose(logits)
    frequencies = chosen.bincount(minlength=4) / 2_000
    expected = torch.tensor([-torch.inf, 0.0, 1.0, 1.0]).softmax(0)
    torch.testing.assert_close(frequencies, expected, rtol=0, atol=0.04)


def test_the_count_is_part_of_the_state_dict():
    sampling = ScheduledSampling(linear_ratio(10))
    for _ in range(3):
        sampling.draw(B, T)
    restored = ScheduledSampling(linear_ratio(10))
    restored.load_state_dict(sampling.state_dict())
    assert restored.batches == 3
