"""What a model returns for a batch: the mean to minimise, and the sums that figures are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

# Makes the figures to report, by name, of named sums and the number that they are over.
Figures: TypeAlias = Callable[[Mapping[str, float], float], dict[str, float]]


class Loss(NamedTuple):
    """The loss of one batch. All are scalars on one device: nothing here waits for a GPU.

    Args:
        value: () what training minimises, a mean; the only differentiable one. It may hold more than
            what is reported: label smoothing, the regularisation of attention.
        count: () what it is a mean over: the tokens, sentences or points of the batch, without padding.
        sums: () each, by name, detached: sums over the same, of which figures are made. Every batch
            has the same names; there may be none.
    """

    value: Tensor
    count: Tensor  # type: ignore[assignment]  # and no longer the method of tuples
    sums: Mapping[str, Tensor] = {}

    def __add__(self, other: Loss) -> Loss:  # type: ignore[override]
        """The loss of both batches as if they were one: values weighted by their counts, counts and
        sums added.

        Raises:
            ValueError: sums of other names.
        """
        check_names(self.sums, other.sums)
        count = self.count + other.count
        value = (self.value * self.count + other.value * other.count) / count.clamp(min=1)
        return Loss(value, count, {name: self.sums[name] + other.sums[name] for name in self.sums})

    def detach(self) -> Loss:
        """The same without the graph."""
        sums = {name: tensor.detach() for name, tensor in self.sums.items()}
        return Loss(self.value.detach(), self.count.detach(), sums)


def no_loss(names: Iterable[str], device: torch.device) -> Loss:
    """The loss of no batch, with sums of these names, to add others to."""
    zero = torch.zeros((), device=device)
    return Loss(zero, zero, dict.fromkeys(names, zero))


def loss_of(model: nn.Module, batch: Any, compiled: Callable[[Any], Loss] | None = None) -> Loss:
    """What `model.loss` gives for a batch, or what that is compiled to.

    A tensor that it gives is the mean over the examples of the batch.

    Raises:
        TypeError: it is no `Loss`, or not of scalars on one device; or the model has none.
    """
    name = f"{type(model).__name__}.loss"
    if not hasattr(model, "loss"):
        raise TypeError(
            f"{name} is missing: give the model a method loss(batch), what is minimised"
        )
    loss = (compiled or model.loss)(batch)  # type: ignore[operator]
    if isinstance(loss, Tensor):
        if loss.ndim:
            raise TypeError(
                f"{name} must return one number to minimise, as loss.mean(), not a tensor of shape "
                f"{tuple(loss.shape)}"
            )
        examples = float(max(1, count_examples(batch)))
        loss = Loss(loss, torch.full((), examples, device=loss.device))
    if not isinstance(loss, Loss):
        raise TypeError(
            f"{name} must return a scalar tensor, or a Loss(value, count, sums), the mean to minimise "
            f"and what it is a mean over, not a {type(loss).__name__}"
        )
    for part, tensor in {"value": loss.value, "count": loss.count, **loss.sums}.items():
        if not isinstance(tensor, Tensor) or tensor.ndim or tensor.device != loss.value.device:
            raise TypeError(f"{name}: {part} must be a scalar tensor, on the device of the value")
    return loss


def count_examples(batch: Any) -> int:
    """How many examples a batch holds: its length if it is a dataclass that has one; else the rows of
    the first tensor in it, or 0 without one."""
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.ndim else 1
    if is_dataclass(batch):
        if isinstance(batch, Sized):
            return len(batch)
        batch = [getattr(batch, field.name) for field in fields(batch)]
    elif isinstance(batch, dict):
        batch = batch.values()
    elif not isinstance(batch, list | tuple):
        return 0
    return next((count for count in map(count_examples, batch) if count), 0)


def check_names(sums: Iterable[str], others: Iterable[str]) -> None:
    """Refuse losses whose sums have not the same names: figures could not be made of all.

    Raises:
        ValueError: they have not.
    """
    if set(sums) != set(others):
        names_of = (", ".join(sorted(names)) or "none" for names in (sums, others))
        raise ValueError("every loss must have sums of the same names: {} and {}".format(*names_of))


def mean_of_sums(sums: Mapping[str, float], count: float) -> dict[str, float]:
    """Each sum over the count, by its own name."""
    return {name: total / max(1, count) for name, total in sums.items()}
