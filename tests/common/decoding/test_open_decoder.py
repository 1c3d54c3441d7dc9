"""The decoder's equations by hand, and what it takes from outside: attention with a state, any cell.

Computed in float64, so that two routes to one number agree as far as any test looks.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common.decoding import (
    AdditiveAttention,
    Attended,
    Attention,
    BeamSearch,
    Context,
    Greedy,
    Memory,
    RecurrentDecoder,
    SampledInputs,
)
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.recurrent import Cell, State, map_state, select_rows
from common.text.vocabulary import BOS, EOS

B, T, S, V, E, H, C, M = 3, 5, 4, 11, 6, 8, 7, 8


class CoverageAttention(Attention):
    """Attention that sees how much of each position was read so far (Tu et al. 2016, section 3.1).

    score(q, m, c) = v . tanh(W q + U m + w c),  c' = c + weights / N, with a fertility N > 0 of each
    position, N = N_max sigmoid(U_f m) (eq. 9, 10): the linguistic coverage.
    """

    fertility_max = 2.0

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, 5)
        self.memory = nn.Linear(memory_size, 5)
        self.fertility = nn.Linear(memory_size, 1)
        self.coverage = nn.Linear(1, 5, bias=False)
        self.score = nn.Linear(5, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return torch.cat([self.memory(memory), self.fertility(memory)], 2)  # (B, S, A + 1)

    def start(self, memory: Memory) -> State:
        return (memory.values.new_zeros(memory.values.shape[:2]),)

    def forward(self, queries: Tensor, memory: Memory, state: State = ()) -> Attended:
        coverage = state[0].view(*queries.shape[:2], -1)  # (B, Q, S)
        keys, fertility = memory.keys.split([5, 1], dim=2)
        seen = self.query(queries).unsqueeze(2) + keys.unsqueeze(1)
        scores = self.score((seen + self.coverage(coverage.unsqueeze(3))).tanh()).squeeze(3)
        read, weights = self.read(scores, memory)
        share = weights / (self.fertility_max * fertility.sigmoid()).transpose(1, 2)
        return Attended(read, weights, ((coverage + share).flatten(0, 1),))


class FastWeights(Cell):
    """A cell with a memory (B, H, H) and a count of steps (B,): h reads what outer products wrote.

    A' = A / 2 + h h^T / H;  h' = tanh(W x + U h + A' h)  (after Ba et al. 2016, "Fast weights").
    """

    def step(self, projected: Tensor, state: State) -> State:
        hidden, memory, steps = state
        memory = memory / 2 + hidden.unsqueeze(2) * hidden.unsqueeze(1) / self.hidden_size
        read = torch.bmm(memory, hidden.unsqueeze(2)).squeeze(2)
        return (projected + self.recurrent(hidden) + read).tanh(), memory, steps + 1

    def initial_state(self, batch: int, like: Tensor) -> State:
        size = self.hidden_size
        shapes = (batch, size), (batch, size, size), (batch,)
        return tuple(like.new_zeros(shape) for shape in shapes)


def normal(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.double, generator=generator)


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    mask = torch.arange(S) < torch.tensor([4, 2, 3]).unsqueeze(1)
    return normal(B, C), normal(B, S, M, seed=2), mask


def make_decoder(**options) -> RecurrentDecoder:
    options = {"inject": ("init", "every"), "memory_size": M} | options
    decoder = RecurrentDecoder(V, E, H, C, **options).double().eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2)  # far from linear
    return decoder


def make_tokens() -> Tensor:
    return torch.randint(4, V, (B, T), generator=torch.Generator().manual_seed(2))


def gru(decoder: RecurrentDecoder, x: Tensor, h: Tensor) -> Tensor:
    """Cho et al. 2014, with the reset gate after the product, as torch.nn.GRU has it."""
    w, u, b, c = decoder.recurrent.kernel.all_weights[0]
    rx, zx, nx = (x @ w.T + b).chunk(3, dim=1)
    rh, zh, nh = (h @ u.T + c).chunk(3, dim=1)
    r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
    return (1 - z) * (nx + r * nh).tanh() + z * h


def weighted(scores: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
    weights = scores.masked_fill(~mask, -torch.inf).softmax(1)
    return torch.einsum("bs,bsm->bm", weights, memory)


# -- the equations by hand -------------------------------------------------------------------------


@pytest.mark.parametrize("query_word", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_attention_before_the_step_by_hand(query_word, gate):
    """Xu et al. 2015, section 4.2.1: beta = sigmoid(f(h_{t-1})), whatever else the query sees."""
    decoder = make_decoder(attention="general", query_word=query_word, gate=gate)
    vector, memory, mask = make_inputs()
    tokens = make_tokens()
    h = (vector @ decoder.first_state.weight.T + decoder.first_state.bias).tanh()
    expected = []
    for t in range(T):
        e = decoder.embedding.weight[tokens[:, t]]
        q = h + e @ decoder.query_word.weight.T if query_word else h
        scores = torch.einsum("bh,hm,bsm->bs", q, decoder.attention.memory.weight, memory)
        z = weighted(scores, memory, mask)
        if gate:
            z = z * (h @ decoder.gate.weight.T + decoder.gate.bias).sigmoid()
        h = gru(decoder, torch.cat([e, vector, z], 1), h)
        readout = decoder.readout
        joined = h @ readout.hidden.weight.T + readout.hidden.bias + z @ readout.read.weight.T
        expected.append(joined.tanh() @ decoder.output.weight.T + decoder.output.bias)
    whole = decoder(Context(vector, memory, mask), tokens)
    torch.testing.assert_close(whole, torch.stack(expected, 1))


@pytest.mark.parametrize("deep_output", [False, True])
def test_input_feeding_by_hand(deep_output):
    """Luong et al. 2015, section 3.3: h~_t = tanh(W_c [c_t; h_t]) joins the input of step t + 1."""
    decoder = make_decoder(
        inject=("init",), attention="general", attend="after", input_feeding=True,
        readout_size=5, deep_output=deep_output,
    )  # fmt: skip
    vector, memory, mask = make_inputs()
    tokens = make_tokens()
    h = (vector @ decoder.first_state.weight.T + decoder.first_state.bias).tanh()
    attentional = torch.zeros(B, 5, dtype=torch.double)
    expected = []
    for t in range(T):
        e = decoder.embedding.weight[tokens[:, t]]
        h = gru(decoder, torch.cat([e, attentional], 1), h)
        scores = torch.einsum("bh,hm,bsm->bs", h, decoder.attention.memory.weight, memory)
        c = weighted(scores, memory, mask)
        readout = decoder.readout
        joined = h @ readout.hidden.weight.T + readout.hidden.bias + c @ readout.read.weight.T
        if deep_output:
            joined = joined + e @ readout.word.weight.T
        attentional = joined.tanh()
        expected.append(attentional @ decoder.output.weight.T + decoder.output.bias)
    whole = decoder(Context(vector, memory, mask), tokens)
    torch.testing.assert_close(whole, torch.stack(expected, 1))
    weights = torch.randn(B, T, V, dtype=torch.double)
    parameters = list(decoder.parameters())
    found = torch.autograd.grad((whole * weights).sum(), parameters)
    by_hand = torch.autograd.grad((torch.stack(expected, 1) * weights).sum(), parameters)
    torch.testing.assert_close(found, by_hand)


def test_coverage_by_hand():
    attention = CoverageAttention(H, M).double()
    _, memory, mask = make_inputs()
    prepared = attention.prepare(memory, mask)
    query, state = normal(B, 1, H, seed=3), attention.start(prepared)
    seen = torch.zeros(B, S, dtype=torch.double)
    fertility = 2 * (memory @ attention.fertility.weight.T + attention.fertility.bias).sigmoid()
    for _ in range(3):
        read, weights, state = attention(query, prepared, state)
        seen = seen + weights[:, 0] / fertility[..., 0]
        torch.testing.assert_close(state[0], seen)
        torch.testing.assert_close(read, torch.bmm(weights, memory))
        assert (weights[:, 0][~mask] == 0).all()
    assert attention(query, prepared, state).weights.ne(weights).any()


# -- what comes from outside -----------------------------------------------------------------------

OPEN = {
    "coverage_before": {"attention": CoverageAttention},
    "coverage_after": {"attention": CoverageAttention, "attend": "after", "gate": True},
    "coverage_fed": {"attention": CoverageAttention, "attend": "after", "input_feeding": True},
    "factory": {"attention": lambda query, memory: AdditiveAttention(query, memory, 3)},
    "fast_weights": {"cell": FastWeights, "num_layers": 2, "attention": "general"},
    "fast_weights_only": {"cell": FastWeights, "inject": ("first", "output")},
    "both": {
        "cell": FastWeights,
        "attention": CoverageAttention,
        "attend": "after",
        "input_feeding": True,
        "inject": ("init", "first", "every", "output"),
    },
}
every_kind = pytest.mark.parametrize("kind", OPEN)


def make_model(kind: str) -> EncoderDecoder:
    torch.manual_seed(0)
    return EncoderDecoder(lambda *parts: Context(*parts), make_decoder(**OPEN[kind]))


@every_kind
def test_steps_equal_the_pass(kind):
    decoder = make_model(kind).decoder
    tokens, context = make_tokens(), Context(*make_inputs())
    unrolled = decoder.unroll(context, tokens)
    prepared = decoder.prepare(context)
    state = decoder.start(prepared)
    for t in range(T):
        logits, state, weights = decoder.step(tokens[:, t], state, prepared)
        torch.testing.assert_close(logits, decoder.logits(unrolled.features)[:, t])
        if weights is not None:
            torch.testing.assert_close(weights, unrolled.weights[:, t])


@every_kind
def test_hypotheses_share_a_context(kind):
    """Rows b K .. b K + K - 1 of a step read sentence b, as if the context had been repeated."""
    decoder = make_model(kind).decoder
    context = Context(*make_inputs())
    rows = torch.arange(B).repeat_interleave(2)
    tokens = torch.randint(4, V, (2 * B, 3))
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
    decoder = make_model(kind).decoder
    vector, memory, mask = make_inputs()
    leaves = [vector.requires_grad_(), memory.requires_grad_(), *decoder.parameters()]
    tokens, context = make_tokens(), Context(vector, memory, mask)
    where = torch.rand(B, T, generator=torch.Generator().manual_seed(3)) < 0.5
    where[:, 0] = False
    inputs = SampledInputs(where, lambda logits: logits.argmax(1)) if sampled else None
    whole = decoder.logits(decoder.unroll(context, tokens, inputs).features)

    state, stepped = decoder.start(context), []
    for t in range(T):
        fed = tokens[:, t]
        if sampled and t:
            fed = torch.where(where[:, t], stepped[-1].argmax(1), fed)
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


@every_kind
@pytest.mark.parametrize("prune", [True, False])
def test_a_search_equals_itself_one_by_one_and_carries_the_weights(kind, prune):
    model = make_model(kind)
    inputs = make_inputs()
    search = BeamSearch(beam_size=3, n_best=2, max_length=9)
    special = {"bos": BOS, "eos": EOS, "keep_attention": True, "prune": prune}
    found = search(model.decoder, Context(*inputs), max_length=[4, 9, 6], **special)
    for row, best in enumerate(found):
        own = tuple(part[row : row + 1] for part in inputs)
        (alone,) = search(model.decoder, Context(*own), max_length=[[4, 9, 6][row]], **special)
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
def test_an_ensemble_of_unlike_states(kind):
    ensemble = EnsembleModel([make_model(kind), make_model("factory"), make_model("fast_weights")])
    found = ensemble.generate(*make_inputs(), search=Greedy(max_length=7), keep_attention=True)
    sentences = [best[0].tokens for best in found]
    expected = ensemble.attention_weights(make_inputs(), sentences)
    for (hypothesis,), weights in zip(found, expected, strict=True):
        rows = len(hypothesis.tokens) + hypothesis.finished
        torch.testing.assert_close(hypothesis.attention, weights[:rows])


@every_kind
def test_it_learns(kind):
    model = make_model(kind).train()
    sentences = [[4, 5, 6, 7], [7, 7], [8, 9, 10, 4, 5]]
    batch = Batch.collate(make_inputs(), sentences).to(torch.get_default_device())
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.value.backward()
        optimizer.step()
    assert loss.value.item() < 0.1
    found = model.eval().generate(*make_inputs(), search=Greedy(max_length=9))
    assert [best[0].tokens for best in found] == sentences


def test_steps_are_pure():
    decoder = make_model("both").decoder
    context = decoder.prepare(Context(*make_inputs()))
    state = decoder.start(context)
    before = map_state(torch.clone, state)
    results = [decoder.step(make_tokens()[:, 0], state, context) for _ in range(2)]
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    torch.testing.assert_close(state, before, rtol=0, atol=0)


def test_old_weights_load_where_they_lay():
    """ "init" fills all h first, then all c: so that weights of older runs mean the same."""
    decoder = make_decoder(cell="lstm", num_layers=2, inject=("init",))
    vector, *_ = make_inputs()
    first = (vector @ decoder.first_state.weight.T + decoder.first_state.bias).tanh()
    recurrent, attention, fed = decoder.start(Context(vector))
    (h0, c0), (h1, c1) = recurrent
    torch.testing.assert_close(first, torch.cat([h0, h1, c0, c1], 1))
    assert attention == fed == ()
