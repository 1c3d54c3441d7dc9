"""Teacher-forced figures on data that is not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from common.training.batching import to_device
from common.training.meter import perplexity


@torch.no_grad()
def teacher_forced(model: nn.Module, batches: Sequence[Any]) -> dict[str, float]:
    """Loss, perplexity and accuracy of a model that is told every right word before the next.

    Args:
        model: has `loss(batch) -> Loss`; it is evaluated in evaluation mode, on its own device.
        batches: at least one.

    Returns:
        loss in nats per token, its exponential perplexity, and token_accuracy.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total = None
    for number in range(len(batches)):
        loss = model.loss(to_device(batches[number], device))  # type: ignore[operator]
        total = loss if total is None else total + loss
    model.train(was_training)
    if total is None:
        raise ValueError("there is no batch to evaluate on")
    nll, correct, tokens = (float(count) for count in total[1:])
    return {
        "loss": nll / tokens,
        "perplexity": perplexity(nll, tokens),
        "token_accuracy": correct / tokens,
    }
