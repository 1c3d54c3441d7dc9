"""Figures on data that is not trained on: those of the loss, and any that a user wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from torch import nn

from common.compute.device import naming_batch_size, to_host
from common.compute.precision import without_gradients
from common.training.batches import count_examples, to_device
from common.training.checkpoint import random_state, restore_random_state
from common.training.loss import Figures, Loss, loss_of, mean_of_sums


@without_gradients()
def held_out(
    model: nn.Module, batches: Sequence[Any], figures: Figures = mean_of_sums
) -> dict[str, float]:
    """The loss of a model on data that it is not trained on, and the figures that are made of it.

    Args:
        model: has `loss(batch) -> Loss`; it is evaluated in evaluation mode, on its own device.
        batches: at least one.
        figures: makes them of the sums of all losses and of what they are over.

    Returns:
        `loss`, the mean over the whole data, and the figures.

    Raises:
        ValueError: there is no batch.
        UserError: the device is out of memory.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total: Loss | None = None
    for number in range(len(batches)):
        batch = batches[number]
        with naming_batch_size(count_examples(batch)):
            loss = loss_of(model, to_device(batch, device))
            total = loss if total is None else total + loss
    model.train(was_training)
    if total is None:
        raise ValueError("there is no batch to evaluate on")
    value, count, *sums = map(float, to_host([total.value, total.count, *total.sums.values()]))
    return {"loss": value, **figures(dict(zip(total.sums, sums, strict=True)), count)}


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
