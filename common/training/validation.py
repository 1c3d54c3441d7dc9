"""The loss, and what is made of it, on data that is not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import nn
from torch.utils.data import DataLoader

from common.compute.device import naming_batch_size, to_host
from common.compute.precision import without_gradients
from common.data.batching import Batches
from common.training.batches import to_device
from common.training.epochs import batches_of
from common.training.loss import Figures, Loss, count_examples, loss_of, mean_of_sums

Result = TypeVar("Result")


@without_gradients()
def held_out(
    model: nn.Module, batches: Sequence[Any] | DataLoader, figures: Figures = mean_of_sums
) -> dict[str, float]:
    """The loss of a model on data that it is not trained on, and the figures that are made of it.

    Args:
        model: has `loss(batch)`, as `Trainer` takes it; it is evaluated in evaluation mode, on its own
            device.
        batches: at least one; a list, `Batches` or a `DataLoader`.
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
    batches = batches_of(batches)
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


@without_gradients()
def predictions(
    model: nn.Module, batches: Batches[Any], predict: Callable[[Any], Sequence[Result]]
) -> list[Result]:
    """What a model gives for each example of a data set, in the order of the examples.

    Args:
        model: it is called in evaluation mode, on its own device.
        batches: each example once, in any order.
        predict: from a batch on the model's device to a result for each of its examples.

    Returns:
        The results on the host, where they are tensors.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found: dict[int, Result] = {}
    for rows, batch in zip(batches.indices, batches, strict=True):
        results = to_host(list(predict(to_device(batch, device))))
        found |= dict(zip(rows.tolist(), results, strict=True))
    model.train(was_training)
    return [found[row] for row in sorted(found)]
