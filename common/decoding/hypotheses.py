"""Hypotheses that no longer grow, and the best of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from common.compute.device import map_tensors


@dataclass(frozen=True)
class Hypothesis:
    """A sentence that a search found.

    Args:
        tokens: its tokens, without bos and eos.
        score: its log-probability over its length penalty, by which hypotheses are ranked.
        log_probability: natural logarithm of its probability under the model, eos included if it
            ended; constraints and temperature do not change it.
        finished: whether the model ended it with eos; False for one that was cut off.
        attention: (T, S) the attention weights of each token, eos included if it ended; float32, on
            the host. None without attention, or unless the search was called with `keep_attention`.
    """

    tokens: list[int]
    score: float
    log_probability: float
    finished: bool
    attention: Tensor | None = field(default=None, compare=False, repr=False)


@dataclass
class Pool:
    """The N best hypotheses of each of A sentences, best first, among those that no longer grow.

    Args:
        scores: (A, N) minus infinity where there is none yet.
        log_probabilities: (A, N).
        lengths: (A, N) tokens of each, eos not counted.
        tokens: (A, N, T) padded with zeros.
        count: (A,) how many were offered so far, including those that were not kept.
        rows: (A, N) for each its row in the step after its last token; None unless attention is kept.
    """

    scores: Tensor
    log_probabilities: Tensor
    lengths: Tensor
    tokens: Tensor
    count: Tensor
    rows: Tensor | None

    @staticmethod
    def empty(
        sentences: int, size: int, max_length: int, device: torch.device, keep_rows: bool
    ) -> Pool:
        """A pool for `size` hypotheses of each sentence, of up to `max_length` tokens."""
        nothing = torch.full((sentences, size), -math.inf, device=device)
        zeros = torch.zeros(sentences, size, max_length, dtype=torch.long, device=device)
        lengths = zeros.new_zeros(sentences, size)
        rows = lengths if keep_rows else None
        return Pool(nothing, nothing, lengths, zeros, zeros.new_zeros(sentences), rows)

    def emptied(self) -> Pool:
        """An empty pool of the same shape."""
        nothing = torch.full_like(self.scores, -math.inf)
        return replace(map_tensors(self, torch.zeros_like), scores=nothing)

    def select(self, rows: Tensor) -> Pool:
        """The pools of some of the sentences."""
        return map_tensors(self, lambda tensor: tensor[rows])

    @staticmethod
    def join(pools: list[Pool]) -> Pool:
        """One pool of the sentences of all, in their order."""
        columns = zip(*(vars(pool).values() for pool in pools), strict=True)
        return Pool(*(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]

    def rank(self, scores: Tensor) -> Tensor:
        """Insert the scores of new hypotheses; `store` must follow if any of them is finite.

        Two calls, because the search needs the scores at every step, to see which sentences may stop,
        and the tokens only at the few steps where a hypothesis ends.

        Args:
            scores: (A, W) minus infinity where there is none.

        Returns:
            (A, N) where each place of the pool is filled from: its own N places, then the W.
        """
        self.count += (scores > -math.inf).sum(1)
        both = torch.cat([self.scores, scores], 1)  # (A, N + W)
        self.scores, order = both.topk(self.scores.shape[1], dim=1)
        return order

    def store(
        self, order: Tensor, tokens: Tensor, log_probabilities: Tensor, rows: Tensor | None
    ) -> None:
        """Keep the new hypotheses which `rank` gave a place.

        Args:
            order: (A, N) what `rank` returned.
            tokens: (A, W, L) all of one length.
            log_probabilities: (A, W).
            rows: (A, W) as `Pool.rows`.
        """
        length, room = tokens.shape[2], self.tokens.shape[2]
        new_lengths = torch.full_like(order[:, :1], length).expand(-1, tokens.shape[1])
        both = torch.cat([self.log_probabilities, log_probabilities], 1)
        self.log_probabilities = both.gather(1, order)
        self.lengths = torch.cat([self.lengths, new_lengths], 1).gather(1, order)
        if self.rows is not None and rows is not None:
            self.rows = torch.cat([self.rows, rows], 1).gather(1, order)
        both = torch.cat([self.tokens, F.pad(tokens, (0, room - length))], 1)  # (A, N + W, T)
        self.tokens = both.gather(1, order[..., None].expand(-1, -1, room))

    def to_lists(self, *, finished: bool) -> list[list[tuple[Hypothesis, int]]]:
        """The hypotheses of each sentence, best first, on the host; each with its row, if kept."""
        rows = self.lengths if self.rows is None else self.rows
        columns = (self.scores, self.log_probabilities, self.lengths, rows, self.tokens)
        sentences = zip(*(column.tolist() for column in columns), strict=True)
        return [
            [
                (Hypothesis(tokens[:length], score, log_probability, finished), row)
                for score, log_probability, length, row, tokens in zip(*sentence, strict=True)
                if score > -math.inf
            ]
            for sentence in sentences
        ]
