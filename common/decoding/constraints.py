"""What a hypothesis may not say next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from common.compute.device import upload

Lengths = int | Sequence[int] | Tensor
"""One number for all sentences, or one for each."""


class Constraint(Protocol):
    """Changes what may follow the tokens so far; any function of this shape is one.

    A token whose logit becomes minus infinity is never written. The log-probabilities of the others
    stay the model's own as long as their logits do.
    """

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor, /) -> Tensor:
        """The logits that the search chooses by.

        Args:
            tokens: (R, T) the tokens so far of every hypothesis, the start token not among them.
            sentences: (R,) the sentence of the batch that each belongs to. Sentences that are done
                leave, so that a row is no sentence's number.
            logits: (R, V) log-probabilities of the next token; may be changed in place.

        Returns:
            (R, V).
        """
        ...


class Forbidden:
    """Some tokens are never written.

    Args:
        tokens: their ids.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = tuple(tokens)
        self._on_device: dict[torch.device, Tensor] = {}

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor) -> Tensor:
        device = logits.device
        if device not in self._on_device:  # once, not at every step
            ids = torch.tensor(self.tokens, dtype=torch.long, device="cpu")
            self._on_device[device] = upload(ids, device)
        return logits.index_fill_(1, self._on_device[device], -math.inf)


class MinimumLength:
    """A sentence does not end before it has so many tokens.

    Args:
        lengths: of each sentence of the batch, or one number for all.
        eos: the token that ends a sentence.
    """

    def __init__(self, lengths: Lengths, eos: int) -> None:
        self.lengths = torch.as_tensor(lengths, device="cpu")
        self.eos = eos
        self._longest = int(self.lengths.max())
        self._on_device: dict[torch.device, Tensor] = {}

    def __call__(self, tokens: Tensor, sentences: Tensor, logits: Tensor) -> Tensor:
        length = tokens.shape[1]
        if length >= self._longest:
            return logits
        device = logits.device
        if device not in self._on_device:
            self._on_device[device] = upload(self.lengths, device)
        lengths = self._on_device[device]
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
