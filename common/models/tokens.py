"""The loss of predicted tokens, and the figures that are made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from common.training.loss import Loss

# The figures of `held_out` with `token_figures`: the model is fed every reference token.
TEACHER_FORCED = ("loss", "perplexity", "token_accuracy")

# What TensorBoard shows of them, as `Tracker` takes it.
TOKEN_CHARTS = {
    "perplexity": ("train/perplexity", "validation/perplexity"),
    "token accuracy": ("train/token_accuracy", "validation/token_accuracy"),
}

# Scores that are worked on together: on a CPU as many as stay in its cache, on a GPU as many as
# keep it busy and do not fill its memory.
CPU_CHUNK, GPU_CHUNK = 2**18, 2**26


def token_figures(sums: Mapping[str, float], count: float) -> dict[str, float]:
    """Teacher-forced figures, without smoothing, of the sums of `token_loss` over `count` tokens."""
    return {
        "perplexity": perplexity(sums["nll"], count),
        "token_accuracy": sums["correct"] / max(1, count),
    }


def perplexity(nll: float, tokens: float) -> float:
    """exp(nll / tokens), infinite where that is beyond a float."""
    try:
        return math.exp(nll / max(1, tokens))
    except OverflowError:
        return math.inf


def token_loss(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, pad: int | None = None
) -> Loss:
    """Cross-entropy of predictions against targets, with the sums behind its figures.

    Args:
        logits: (..., V) of every token; any float type, computed with in float32.
        targets: (...) ids of the right tokens.
        label_smoothing: probability of the target that is spread evenly over all V tokens (Szegedy et
            al. 2016).
        pad: targets with this id count for nothing; None if every target is real.

    Returns:
        The mean in nats per token, over the tokens that were predicted: padding is not among them. Its
        sums are `nll`, the negative log-likelihood in nats without smoothing, and `correct`, the
        tokens whose likeliest prediction is right.
    """
    logits, targets = logits.flatten(0, -2), targets.flatten()  # (N, V), (N,)
    real = torch.ones_like(targets, dtype=torch.bool) if pad is None else targets != pad
    targets = targets.masked_fill(~real, 0)  # `pad` may be the id of no token
    tokens = real.sum()
    value, nll, correct = _CrossEntropy.apply(logits, targets, real, tokens, label_smoothing)
    return Loss(value, tokens, {"nll": nll, "correct": correct})


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
