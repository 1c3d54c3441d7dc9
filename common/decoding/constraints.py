"""What a hypothesis may not say next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from common.device import upload

Lengths = int | Sequence[int] | Tensor
"""One number for all sentences, or one per sentence."""


@dataclass(frozen=True)
class Constraints:
    """Bans on the next token of every hypothesis of a batch of A sentences.

    A ban takes a token out of the choice; the log-probabilities of the others stay the model's own.

    Args:
        eos: the token that ends a sentence.
        min_length: (A,) fewest tokens of each sentence, eos not counted.
        max_length: (A,) most tokens of each sentence, eos not counted.
        always: (N,) tokens that are never said.
        no_repeat_ngram: no n-gram of this many tokens occurs twice in a hypothesis; 0 is off.
        longest_minimum: the largest `min_length`, on the host.
        longest: the `max_length` of all sentences that the search began with, on the host.
    """

    eos: int
    min_length: Tensor
    max_length: Tensor
    always: Tensor
    no_repeat_ngram: int
    longest_minimum: int
    longest: tuple[int, ...]

    @staticmethod
    def build(
        *,
        batch_size: int,
        eos: int,
        min_length: Lengths,
        max_length: Lengths,
        forbidden: Sequence[int],
        no_repeat_ngram: int,
        device: torch.device,
    ) -> Constraints:
        """Check the constraints of a search and bring them to the device.

        Raises:
            ValueError: a length that is negative, not one per sentence, or a minimum above its
                maximum; eos among the forbidden tokens.
        """
        shortest = _one_per_sentence(min_length, batch_size, "min_length")
        longest = _one_per_sentence(max_length, batch_size, "max_length")
        if min(longest) < 1:
            raise ValueError(f"max_length must be at least 1, not {min(longest)}")
        if any(low > high for low, high in zip(shortest, longest, strict=True)):
            raise ValueError("min_length must not exceed max_length")
        if eos in forbidden:
            raise ValueError(f"eos ({eos}) must not be forbidden: no sentence could end")
        if no_repeat_ngram < 0:
            raise ValueError(f"no_repeat_ngram must not be negative, not {no_repeat_ngram}")
        return Constraints(
            eos=eos,
            min_length=upload(torch.tensor(shortest), device),
            max_length=upload(torch.tensor(longest), device),
            always=upload(torch.tensor(list(forbidden), dtype=torch.long), device),
            no_repeat_ngram=no_repeat_ngram,
            longest_minimum=max(shortest),
            longest=tuple(longest),
        )

    def select(self, rows: Tensor) -> Constraints:
        """The constraints of some of the sentences."""
        return replace(self, min_length=self.min_length[rows], max_length=self.max_length[rows])

    def apply_(self, log_probs: Tensor, history: Tensor) -> None:
        """Set the log-probability of every banned token to minus infinity, in place.

        Args:
            log_probs: (A, W, V) of the next token of W hypotheses per sentence.
            history: (A, W, T) the tokens so far, bos not among them.
        """
        length = history.shape[2]
        if len(self.always):
            log_probs.index_fill_(2, self.always, -math.inf)
        if length < self.longest_minimum:
            too_short = (self.min_length > length)[:, None]  # (A, 1)
            log_probs[:, :, self.eos].masked_fill_(too_short, -math.inf)
        if 0 < self.no_repeat_ngram <= length:
            ban_repeated_ngrams_(log_probs, history, self.no_repeat_ngram)


def ban_repeated_ngrams_(log_probs: Tensor, history: Tensor, n: int) -> None:
    """Ban every token that would complete an n-gram which its hypothesis already holds.

    Args:
        log_probs: (A, W, V), changed in place.
        history: (A, W, T) the tokens so far, T >= n.
        n: tokens in the n-gram; 1 bans every repetition of a token.
    """
    windows = history.unfold(2, n, 1)  # (A, W, T-n+1, n) every n-gram said so far
    suffix = history[:, :, history.shape[2] - n + 1 :]  # (A, W, n-1)
    repeats = (windows[..., :-1] == suffix[:, :, None]).all(-1)  # (A, W, T-n+1)
    # A sum, because a token may follow several windows, of which some match and some do not.
    bans = torch.zeros_like(repeats, dtype=log_probs.dtype).masked_fill_(repeats, -math.inf)
    log_probs.scatter_add_(2, windows[..., -1], bans)


def _one_per_sentence(lengths: Lengths, batch_size: int, name: str) -> list[int]:
    if isinstance(lengths, int):
        values = [lengths] * batch_size
    else:
        values = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    if len(values) != batch_size:
        raise ValueError(f"{name} has {len(values)} values for {batch_size} sentences")
    if min(values) < 0:
        raise ValueError(f"{name} must not be negative, not {min(values)}")
    return values
