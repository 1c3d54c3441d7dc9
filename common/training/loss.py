"""What a model returns for a batch: the value to minimise, and the counts behind honest figures."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Scores that are worked on together: on a CPU as many as stay in its cache, on a GPU as many as
# keep it busy and do not fill its memory.
CPU_CHUNK, GPU_CHUNK = 2**18, 2**26


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
    logits, targets = logits.flatten(0, -2), targets.flatten()  # (N, V), (N,)
    real = torch.ones_like(targets, dtype=torch.bool) if pad is None else targets != pad
    tokens = real.sum()
    value, nll, correct = _CrossEntropy.apply(logits, targets, real, tokens, label_smoothing)
    return Loss(value, nll, correct, tokens)


class _CrossEntropy(torch.autograd.Function):
    """The mean cross-entropy, its plain sum, and how many predictions are right.

    The gradient, softmax less target, is made on the way forward, a few rows at a time, while their
    exponentials are still in the processor's cache: autograd would go through several tensors as
    large as the logits, in float32, twice.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, real: Tensor, tokens: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        scale = 1 / tokens.clamp(min=1)
        rows, size = logits.shape
        chunk = max(1, (CPU_CHUNK if logits.device.type == "cpu" else GPU_CHUNK) // max(1, size))
        total = nll = scale.new_zeros(())
        correct = tokens.new_zeros(())
        for start in range(0, rows, chunk):
            part = slice(start, start + chunk)
            target, is_real = targets[part].unsqueeze(1), real[part].unsqueeze(1)  # (n, 1)
            values = logits[part].float()
            top, prediction = values.max(dim=1, keepdim=True)
            values = values - top
            of_target = values.gather(1, target)
            mean = values.mean(dim=1, keepdim=True) if smoothing else of_target
            exponentials = values.exp_()  # (n, V)
            sums = exponentials.sum(dim=1, keepdim=True)
            expected = (1 - smoothing) * of_target + smoothing * mean
            total = total + (sums.log() - expected).where(is_real, 0.0).sum()
            nll = nll + (sums.log() - of_target).where(is_real, 0.0).sum()
            correct = correct + ((prediction == target) & is_real).sum()
            if gradient is not None:
                share = is_real * scale  # (n, 1)
                softmax = exponentials.mul_(share / sums)
                if smoothing:
                    softmax.sub_(share * (smoothing / size))
                softmax.scatter_add_(1, target, (smoothing - 1) * share)
                gradient[part] = softmax
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(nll, correct)
        return total * scale, nll, correct

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, None, None, None, None]:
        (of_logits,) = ctx.saved_tensors
        return None if of_logits is None else of_logits * gradient, None, None, None, None
