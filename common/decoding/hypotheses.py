"""Hypotheses that no longer grow, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Hypothesis:
    """A sentence that a search found.

    Args:
        tokens: its tokens, without bos and eos.
        score: its log-probability over its length penalty: what hypotheses are ranked by.
        log_probability: natural logarithm of its probability under the model, eos included if it
            ended; always the model's own, whatever was banned and at whatever temperature.
        finished: whether the model ended it with eos; False for one that was cut off.
        attention: (T, S) where the model looked for each token, eos included if it ended; float32, on
            the host. None without attention, or where the search was not asked to keep it.
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
        count: (A,) how many were offered so far, those that were not kept included.
        rows: (A, N) of each the row of the step that came after its last token; None where it
            is not needed (`AttentionTrace`).
    """

    scores: Tensor
    log_probabilities: Tensor
    lengths: Tensor
    tokens: Tensor
    count: Tensor
    rows: Tensor | None = None

    @staticmethod
    def empty(
        sentences: int, size: int, max_length: int, device: torch.device, *, keep_rows: bool = False
    ) -> Pool:
        """A pool for `size` hypotheses of each sentence, of up to `max_length` tokens."""
        nothing = torch.full((sentences, size), -math.inf, device=device)
        return Pool(
            scores=nothing,
            log_probabilities=nothing.clone(),
            lengths=torch.zeros(sentences, size, dtype=torch.long, device=device),
            tokens=torch.zeros(sentences, size, max_length, dtype=torch.long, device=device),
            count=torch.zeros(sentences, dtype=torch.long, device=device),
            rows=torch.zeros(sentences, size, dtype=torch.long, device=device)
            if keep_rows
            else None,
        )

    @staticmethod
    def empty_like(other: Pool) -> Pool:
        """An empty pool of the same shape."""
        sentences, size, max_length = other.tokens.shape
        keep_rows = other.rows is not None
        return Pool.empty(sentences, size, max_length, other.tokens.device, keep_rows=keep_rows)

    def select(self, rows: Tensor) -> Pool:
        """The pools of some of the sentences."""
        return self._map(lambda name: getattr(self, name)[rows])

    @staticmethod
    def join(pools: list[Pool]) -> Pool:
        """The pools of all sentences of several, one after the other."""
        return pools[0]._map(lambda name: torch.cat([getattr(pool, name) for pool in pools]))

    def _map(self, function: Callable[[str], Tensor]) -> Pool:
        """A pool whose fields a function makes of their names; `rows` only if this one has them."""
        names = [each.name for each in fields(self) if each.name != "rows" or self.rows is not None]
        return Pool(**{name: function(name) for name in names})

    def rank(self, scores: Tensor) -> Tensor:
        """Take the scores of new hypotheses in; `store` must follow if any of them is real.

        Two calls, because the search looks at the scores at every step, to see which sentences may
        stop, and need not touch the tokens at the many steps where no hypothesis ends.

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
            rows: (A, W) of the step after their last token, if they are kept.
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
        """The hypotheses of each sentence, best first, on the host; and the row of each, if kept."""
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
