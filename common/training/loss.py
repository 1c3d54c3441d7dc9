"""What a model returns for a batch: the value to minimise, and the counts behind honest figures."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Loss(NamedTuple):
    """The loss of one batch. All four are scalars on the device: nothing here waits for a GPU.

    Args:
        value: () what training minimises, a mean per token; the only differentiable one. It may
            hold more than the likelihood: label smoothing, the regularisation of attention.
        nll: () negative log likelihood in nats, summed over tokens, without smoothing, detached:
            `exp(nll / tokens)` is the teacher-forced perplexity.
        correct: () tokens whose likeliest prediction is right.
        tokens: () tokens that were predicted; padding is not among them.
    """

    value: Tensor
    nll: Tensor
    correct: Tensor
    tokens: Tensor

    def __add__(self, other: Loss) -> Loss:  # type: ignore[override]
        """The loss of both batches as if they were one: values weighted by tokens, counts added."""
        tokens = self.tokens + other.tokens
        value = (self.value * self.tokens + other.value * other.tokens) / tokens.clamp(min=1)
        return Loss(value, self.nll + other.nll, self.correct + other.correct, tokens)

    def detach(self) -> Loss:
        """The same figures without the graph."""
        return Loss(*(tensor.detach() for tensor in self))


def no_loss(device: torch.device) -> Loss:
    """The loss of no batch, to add others to."""
    zero = torch.zeros((), device=device)
    return Loss(zero, zero, zero, zero)


def token_loss(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, pad: int | None = None
) -> Loss:
    """Cross-entropy of predictions against targets, with the counts that go with it.

    Args:
        logits: (..., V) scores of every token; any float type, computed with in float32.
        targets: (...) ids of the right tokens.
        label_smoothing: share of the target spread evenly over all V tokens (Szegedy et al. 2016).
        pad: targets with this id count for nothing; None if every target is real.
    """
    log_probabilities = F.log_softmax(logits.flatten(0, -2).float(), dim=-1)  # (N, V)
    targets = targets.flatten()  # (N,)
    real = torch.ones_like(targets, dtype=torch.bool) if pad is None else targets != pad
    tokens = real.sum()

    of_target = log_probabilities.gather(1, targets.unsqueeze(1)).squeeze(1)  # (N,)
    nll = -of_target.where(real, 0.0).sum()
    total = nll
    if label_smoothing:
        spread = -log_probabilities.mean(dim=-1).where(real, 0.0).sum()
        total = (1 - label_smoothing) * nll + label_smoothing * spread

    with torch.no_grad():
        correct = ((log_probabilities.argmax(dim=-1) == targets) & real).sum()
    return Loss(total / tokens.clamp(min=1), nll.detach(), correct, tokens)
