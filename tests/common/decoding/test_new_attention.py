"""An example: a new attention, here with a state of its own, is one class; a decoder takes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.decoding import Attended, Attention, Context, Memory, RecurrentDecoder
from common.recurrent import State


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
        total = self.query(queries).unsqueeze(2) + keys.unsqueeze(1)
        scores = self.score((total + self.coverage(coverage.unsqueeze(3))).tanh()).squeeze(3)
        read, weights = self.read(scores, memory)
        added = weights / (self.fertility_max * fertility.sigmoid()).transpose(1, 2)
        return Attended(read, weights, ((coverage + added).flatten(0, 1),))


def test_its_equations():
    attention = CoverageAttention(4, 6).double()
    memory, query = torch.randn(3, 5, 6).double(), torch.randn(3, 1, 4).double()
    mask = torch.arange(5) < torch.tensor([5, 2, 3]).unsqueeze(1)
    prepared = attention.prepare(memory, mask)
    state, coverage = attention.start(prepared), torch.zeros(3, 5).double()
    fertility = 2 * (memory @ attention.fertility.weight.T + attention.fertility.bias).sigmoid()
    for _ in range(3):
        before = coverage.unsqueeze(2) * attention.coverage.weight.T
        total = attention.query(query) + attention.memory(memory) + before
        scores = (total.tanh() @ attention.score.weight.T).squeeze(2)
        read, weights, state = attention(query, prepared, state)
        expected = scores.masked_fill(~mask, -torch.inf).softmax(1)
        torch.testing.assert_close(weights[:, 0], expected)
        torch.testing.assert_close(read, torch.bmm(weights, memory))
        coverage = coverage + expected / fertility.squeeze(2)
        torch.testing.assert_close(state[0], coverage)


def test_a_decoder_takes_it():
    decoder = RecurrentDecoder(11, 6, 8, memory_size=6, inject=(), attention=CoverageAttention)
    context, tokens = Context(memory=torch.randn(3, 5, 6)), torch.randint(4, 11, (3, 7))
    features, weights = decoder.unroll(context, tokens)
    assert decoder.logits(features).shape == (3, 7, 11) and weights.shape == (3, 7, 5)
    # Its state is part of the decoder's: step by step, the result is the same.
    state = decoder.start(context)
    for t in range(7):
        logits, state, step_weights = decoder.step(tokens[:, t], state, context)
        torch.testing.assert_close(logits, decoder.logits(features)[:, t])
        torch.testing.assert_close(step_weights, weights[:, t])
