"""Figures on data that is not trained on: teacher-forced ones, and any that a user wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from torch import nn

from common.compute.device import naming_batch_size, to_host
from common.compute.precision import without_gradients
from common.training.batches import count_examples, to_device
from common.training.checkpoint import random_state, restore_random_state
from common.training.meter import perplexity

TEACHER_FORCED = ("loss", "perplexity", "token_accuracy")  # the figures of `teacher_forced`


@without_gradients()
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
        batch = batches[number]
        with naming_batch_size(count_examples(batch)):
            loss = model.loss(to_device(batch, device))  # type: ignore[operator]
            total = loss if total is None else total + loss
    model.train(was_training)
    if total is None:
        raise ValueError("there is no batch to evaluate on")
    nll, correct, tokens = (float(count) for count in to_host(total[1:]))
    return {
        "loss": nll / tokens,
        "perplexity": perplexity(nll, tokens),
        "token_accuracy": correct / tokens,
    }


def undisturbed(
    model: nn.Module,
    validate: Callable[[], dict[str, float]],
    *within: AbstractContextManager[None],
) -> dict[str, float] | None:
    """Validate in the middle of a training, and change nothing that the training depends on.

    Args:
        model: put into evaluation mode meanwhile, without gradients.
        validate: gives the metrics by name; it may draw random numbers.
        within: entered around the validation, as to give the model other weights.

    Returns:
        The metrics; None if Ctrl-C interrupted it.
    """
    device = next(model.parameters()).device
    generators = random_state(device)
    model.eval()
    try:
        with ExitStack() as stack, without_gradients():
            for context in within:
                stack.enter_context(context)
            return {name: float(value) for name, value in validate().items()}
    except KeyboardInterrupt:
        return None
    finally:
        restore_random_state(generators, device)
        model.train()
