"""Constraints on the next token of a hypothesis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial
from typing import Protocol

import torch
from torch import Tensor

from common.compute.device import upload

Lengths = int | Sequence[int] | Tensor
"""One number for all sentences, or one for each."""


class Constraint(Protocol):
    """Changes the logits of the next token; any function of this signature is a constraint.

    A token whose logit becomes minus infinity is never generated. A hypothesis keeps the model's own
    log-probability if the logits of the other tokens do not change.
    """

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor, /) -> Tensor:
        """The logits by which the search chooses the next token.

        Args:
            tokens: (R, T) the tokens so far of every hypothesis, without the start token.
            sentences: (R,) the sentence of the batch that each hypothesis belongs to; they have no
                fixed rows, since sentences that are done are taken out of the batch.
            logits: (R, V) log-probabilities of the next token; may be changed in place.

        Returns:
            (R, V).
        """
        ...


class Forbidden:
    """Some tokens are never generated.

    Args:
        tokens: their ids.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        ids = torch.tensor(list(tokens), dtype=torch.long, device="cpu")
        self._tokens_on = cache(partial(upload, ids))  # device -> ids; once, not at every step

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor) -> Tensor:
        return logits.index_fill_(1, self._tokens_on(logits.device), -math.inf)


class MinimumLength:
    """A sentence has at least a number of tokens.

    Args:
        lengths: that number for each sentence of the batch, or one for all.
        eos: the token that ends a sentence.
    """

    def __init__(self, lengths: Lengths, eos: int) -> None:
        numbers = torch.as_tensor(lengths, device="cpu")
        self.eos = eos
        self._longest = int(numbers.max())
        self._lengths_on = cache(partial(upload, numbers))  # device -> lengths

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor) -> Tensor:
        length = tokens.shape[1]
        if length >= self._longest:
            return logits
        lengths = self._lengths_on(logits.device)
        too_short = (lengths[sentences] if lengths.ndim else lengths.expand(len(tokens))) > length
        logits[:, self.eos].masked_fill_(too_short, -math.inf)
        return logits


class NoRepeatedNgrams:
    """No n-gram occurs twice in a sentence (Paulus et al. 2018, section 2.5, with n = 3).

    Args:
        n: tokens of the n-gram; 1 forbids every repetition of a token.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"an n-gram has at least 1 token, not {n}")
        self.n = n

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor) -> Tensor:
        length = tokens.shape[1]
        if length < self.n:
            return logits
        windows = tokens.unfold(1, self.n, 1)  # (R, T-n+1, n) every n-gram so far
        suffix = tokens[:, length - self.n + 1 :]  # (R, n-1)
        repeats = (windows[..., :-1] == suffix[:, None]).all(-1)  # (R, T-n+1)
        # A sum, because a token may follow several windows, of which some match and some do not.
        bans = torch.zeros_like(repeats, dtype=logits.dtype).masked_fill_(repeats, -math.inf)
        return logits.scatter_add_(1, windows[..., -1], bans)


class ForcedPrefixes:
    """Sentences begin with given tokens; other constraints hold from there on.

    A forced token keeps the model's own log-probability, also where another constraint forbids it.

    Args:
        prefixes: the tokens that each sentence of the batch begins with; () for none.
        others: constraints, which see the tokens of the prefix as those before them.
    """

    def __init__(
        self, prefixes: Sequence[Sequence[int]], others: Sequence[Constraint] = ()
    ) -> None:
        self.others = tuple(others)
        self._longest = max(map(len, prefixes), default=0)
        # A step of all sentences in each row; -1 where nothing is forced.
        steps = torch.full((self._longest, len(prefixes)), -1, device="cpu")
        for sentence, prefix in enumerate(prefixes):
            steps[: len(prefix), sentence] = torch.tensor(
                list(prefix), dtype=torch.long, device="cpu"
            )
        self._steps_on = cache(partial(upload, steps))  # device -> steps

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor) -> Tensor:
        step, forced, kept = tokens.shape[1], None, None
        if step < self._longest:
            forced = self._steps_on(logits.device)[step][sentences][:, None]  # (R, 1)
            kept = logits.gather(1, forced.clamp(min=0))  # before others change it
        for constraint in self.others:
            logits = constraint(tokens, sentences, logits)
        if forced is None or kept is None:
            return logits
        only = torch.full_like(logits, -math.inf).scatter_(1, forced.clamp(min=0), kept)
        return torch.where(forced >= 0, only, logits)


def one_for_each(lengths: Lengths, batch_size: int, name: str) -> list[int]:
    """A length for each sentence of a batch, on the host.

    Raises:
        ValueError: one is negative, or they are not one for each sentence.
    """
    if isinstance(lengths, int):
        values = [lengths] * batch_size
    else:
        values = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    if len(values) != batch_size:
        raise ValueError(f"{name} has {len(values)} values for {batch_size} sentences")
    if min(values, default=0) < 0:
        raise ValueError(f"{name} must not be negative, not {min(values)}")
    return values


def check_prefixes(prefixes: Sequence[Sequence[int]], max_length: Sequence[int]) -> None:
    """Refuse prefixes that are not one for each sentence, or longer than it may be.

    Raises:
        ValueError: they are.
    """
    if len(prefixes) != len(max_length):
        raise ValueError(f"{len(prefixes)} prefixes for {len(max_length)} sentences")
    for prefix, most in zip(prefixes, max_length, strict=True):
        if len(prefix) > most:
            raise ValueError(f"a prefix of {len(prefix)} tokens is longer than max_length ({most})")
