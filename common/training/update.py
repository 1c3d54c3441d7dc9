"""One update of the weights, from all batches that are for it, in all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from common.compute.device import naming_batch_size, tensor_float32
from common.compute.precision import Chosen, arithmetic
from common.training.batches import to_device
from common.training.compilation import Compilation
from common.training.distributed import World
from common.training.loss import Loss, check_names, count_examples, loss_of, no_loss


@dataclass(eq=False)
class Update:
    """Changes the weights once: forward, backward, clip, step. Nothing waits for the device.

    Args:
        model, optimizer, clip_norm, accumulate, world: as `Trainer` takes them.
        precision: "fp32" or "bf16".
        compilation: of the loss; None computes it as it is.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    _: KW_ONLY
    clip_norm: float | None
    accumulate: int
    precision: Chosen
    world: World
    compilation: Compilation | None = None

    def __post_init__(self) -> None:
        self.several = self.accumulate * self.world.size > 1
        self.device = next(self.model.parameters()).device
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.names: tuple[str, ...] | None = None  # of the sums of a loss, from the first on

    def __call__(self, group: Iterable[Any]) -> tuple[Loss, Tensor, int]:
        """Learn from a group of batches, those of this process.

        Returns:
            The loss of the group in all processes, detached; the norm () of its gradient before it was
            clipped; and how many examples it has.

        Raises:
            UserError: the device is out of memory.
            TypeError, ValueError: the model returns no loss, or sums of other names than before.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total: Loss | None = None
        examples = 0
        for batch in group:
            size = count_examples(batch)
            with naming_batch_size(size):
                loss = self._backward(batch)
            total = loss if total is None else total + loss
            examples += size
        if self.names is None:  # process 0 has a batch of every group, the others may have none
            self.names = self.world.from_first(tuple(total.sums if total else ()))
        total = no_loss(self.names, self.device) if total is None else total
        check_names(self.names, total.sums)
        if self.several:
            total = self._mean(total)
            examples *= self.world.size  # nearly: not worth an exchange

        with naming_batch_size(examples):  # the first step takes memory for its moments
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            if self.clip_norm is not None:
                nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm)
            self.optimizer.step()
        return total, norm, examples

    def _backward(self, batch: Any) -> Loss:
        """Add the gradients of a batch up, and return its loss, detached."""
        batch = to_device(batch, self.device)
        if self.compilation is None:
            return self._learn(batch)
        return self.compilation(partial(self._learn, batch))

    def _learn(self, batch: Any, compiled: Callable[[Any], Loss] | None = None) -> Loss:
        # Around the backward pass too: it multiplies by what the forward pass multiplied by.
        with tensor_float32(self.device, allowed=self.precision == "bf16"):
            with arithmetic(self.device, self.precision):
                loss = loss_of(self.model, batch, compiled)
            if not loss.value.requires_grad:
                raise TypeError(
                    f"{type(self.model).__name__}.loss depends on no weight that is learnt: was it "
                    "detached, or are all weights frozen?"
                )
            # Of several batches, add up the sums over what counts, and divide by all at the end.
            (loss.value * loss.count if self.several else loss.value).backward()
        return loss.detach()

    def _mean(self, total: Loss) -> Loss:
        """Turn gradients that are sums into means over all batches of all processes.

        Takes the loss of the batches of this process, and returns that of all of them.
        """
        names = self.names or ()  # the order in which the sums are exchanged
        if self.world.size > 1:
            for parameter in self.parameters:
                if parameter.grad is None and parameter.requires_grad:  # no batch was for this one
                    parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        numbers = [total.value * total.count, total.count, *(total.sums[name] for name in names)]
        exchanged = torch.stack(numbers).float()
        self.world.add_up([*gradients, exchanged])
        value, count, *sums = exchanged
        divisor = count.clamp(min=1)
        torch._foreach_div_(gradients, divisor)
        return Loss(value / divisor, count, dict(zip(names, sums, strict=True)))
