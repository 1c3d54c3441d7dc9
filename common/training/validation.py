"""The loss, and what is made of it, on data that is not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from common.compute.device import naming_batch_size, to_host
from common.compute.precision import without_gradients
from common.training.batches import count_examples, to_device
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
