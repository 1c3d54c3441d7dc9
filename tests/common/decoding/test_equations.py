"""The decoder's equations by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from common.decoding import AdditiveAttention, Context, RecurrentDecoder, coverage_penalty
from tests.common.decoding.decoders import (
    SENTENCES,
    B,
    T,
    V,
    collate,
    make_decoder,
    make_inputs,
    make_model,
    make_tokens,
    normal,
)
from tests.tolerances import assert_same_sums


def gru(decoder: RecurrentDecoder, x: Tensor, h: Tensor) -> Tensor:
    """Cho et al. 2014, with the reset gate after the product, as torch.nn.GRU has it."""
    w, u, b, c = decoder.recurrent.kernel.all_weights[0]
    rx, zx, nx = (x @ w.T + b).chunk(3, dim=1)
    rh, zh, nh = (h @ u.T + c).chunk(3, dim=1)
    r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
    return (1 - z) * (nx + r * nh).tanh() + z * h


def general(decoder: RecurrentDecoder, query: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
    scores = torch.einsum("bh,hm,bsm->bs", query, decoder.attention.memory.weight, memory)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(1)
    return torch.einsum("bs,bsm->bm", weights, memory)


def first_state(decoder: RecurrentDecoder, vector: Tensor) -> Tensor:
    return (vector @ decoder.first_state.weight.T + decoder.first_state.bias).tanh()


@pytest.mark.parametrize("query_word", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_attention_before_the_step(query_word, gate):
    """Xu et al. 2015, section 4.2.1: beta = sigmoid(f(h_{t-1})), whatever else is in the query."""
    decoder = make_decoder(2, attention="general", query_word=query_word, gate=gate)
    vector, memory, mask = make_inputs()
    h, readout, expected = first_state(decoder, vector), decoder.readout, []
    for tokens in make_tokens().unbind(1):
        e = decoder.embedding.weight[tokens]
        z = general(decoder, h + e @ decoder.query_word.weight.T if query_word else h, memory, mask)
        if gate:
            z = z * (h @ decoder.gate.weight.T + decoder.gate.bias).sigmoid()
        h = gru(decoder, torch.cat([e, vector, z], 1), h)
        total = h @ readout.hidden.weight.T + readout.hidden.bias + z @ readout.read.weight.T
        expected.append(total.tanh() @ decoder.output.weight.T + decoder.output.bias)
    whole = decoder(Context(vector, memory, mask), make_tokens())
    torch.testing.assert_close(whole, torch.stack(expected, 1))


@pytest.mark.parametrize("deep_output", [False, True])
def test_input_feeding(deep_output):
    """Luong et al. 2015, section 3.3: h~_t = tanh(W_c [c_t; h_t]) is an input of step t + 1."""
    decoder = make_decoder(
        2, inject=("init",), attention="general", attend="after", input_feeding=True,
        readout_size=5, deep_output=deep_output,
    )  # fmt: skip
    vector, memory, mask = make_inputs()
    h, readout, expected = first_state(decoder, vector), decoder.readout, []
    attentional = torch.zeros(B, 5, dtype=torch.double)
    for tokens in make_tokens().unbind(1):
        e = decoder.embedding.weight[tokens]
        h = gru(decoder, torch.cat([e, attentional], 1), h)
        c = general(decoder, h, memory, mask)
        total = h @ readout.hidden.weight.T + readout.hidden.bias + c @ readout.read.weight.T
        attentional = (total + e @ readout.word.weight.T if deep_output else total).tanh()
        expected.append(attentional @ decoder.output.weight.T + decoder.output.bias)
    whole = decoder(Context(vector, memory, mask), make_tokens())
    torch.testing.assert_close(whole, torch.stack(expected, 1))
    weights, parameters = normal(B, T, V), list(decoder.parameters())
    found = torch.autograd.grad((whole * weights).sum(), parameters)
    by_hand = torch.autograd.grad((torch.stack(expected, 1) * weights).sum(), parameters)
    torch.testing.assert_close(found, by_hand)


def test_additive_attention():
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


def test_the_first_state_is_all_h_then_all_c():
    """So weights of older runs have the same meaning."""
    decoder = make_decoder(2, cell="lstm", num_layers=2, inject=("init",))
    vector, *_ = make_inputs()
    recurrent, attention, fed = decoder.start(Context(vector))
    (h0, c0), (h1, c1) = recurrent
    torch.testing.assert_close(first_state(decoder, vector), torch.cat([h0, h1, c0, c1], 1))
    assert attention == fed == ()


def test_label_smoothing_changes_the_value_but_not_the_sums():
    plain = make_model({"inject": ("init",)})
    smoothed = make_model({"inject": ("init",)}, label_smoothing=0.2)
    smoothed.load_state_dict(plain.state_dict())
    batch = collate(make_inputs()[:1], SENTENCES)
    log_p = plain.decoder(Context(*batch.inputs), batch.targets[:, :-1]).log_softmax(-1)
    real = batch.targets[:, 1:] != 0
    nll = -log_p.gather(2, batch.targets[:, 1:, None]).squeeze(2)[real]
    expected = (0.8 * nll - 0.2 * log_p.mean(-1)[real]).mean()
    of_float32 = {"terms": 2 * V + len(nll), "dtype": torch.float32}  # as every loss is
    assert_same_sums(smoothed.train().loss(batch).value.item(), expected.item(), **of_float32)
    assert_same_sums(smoothed.loss(batch).sums["nll"], plain.loss(batch).sums["nll"], **of_float32)
    assert_same_sums(smoothed.eval().loss(batch).value.item(), nll.mean().item(), **of_float32)


def test_the_coverage_penalty_is_zero_when_every_region_is_read_once():
    weights = torch.eye(4).expand(2, 4, 4)
    real = torch.ones(2, 4)
    assert coverage_penalty(weights, real) == 0
    real[:, 3] = 0  # the last step is padding: one region is not read, (1 - 0)^2
    assert coverage_penalty(weights, real) == 1
    mask = torch.tensor([True, True, True, False]).expand(2, 4)
    assert coverage_penalty(weights, real, mask) == 0


def test_tied_embeddings_are_one_matrix():
    decoder = make_decoder(tie_embeddings=True)
    assert decoder.output.weight is decoder.embedding.weight
