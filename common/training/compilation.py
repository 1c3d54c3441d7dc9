"""The loss of a model, compiled by `torch.compile` where that works."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from common.errors import UserError, one_line
from common.training.checkpoint import random_state, restore_random_state
from common.training.loss import Loss

BACKEND = "inductor"
"""What `torch.compile` hands a graph to."""


class Compilation:
    """Compiles `model.loss`, and goes on without where that fails.

    `torch.compile(model)` would compile `forward` alone. The model stays as it is: its weights and
    their names, and what evaluation and search call.

    Compiling may fail at any update, since a batch of another shape may be compiled anew. The update
    is then computed again from where it began, one line is printed, and nothing is compiled any more.
    A kernel that is compiled for any shape rounds otherwise than one for a single shape: a resumed
    training has the same numbers again where all batches have one shape.

    Args:
        model: has `loss(batch) -> Loss`.
        say: prints a line.
    """

    def __init__(self, model: nn.Module, say: Callable[[str], None]) -> None:
        self.model = model
        self.say = say
        self.works = True
        self._loss = torch.compile(model.loss, backend=BACKEND)  # type: ignore[arg-type]

    def __call__(self, learn: Callable[..., Loss]) -> Loss:
        """Run forward and backward: learn(compiled loss) if that works, else learn()."""
        if not self.works:
            return learn()
        begin = _Beginning(self.model)
        try:
            return learn(self._loss)
        except (UserError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            # Of whatever type: each backend has its own. An error of the model's comes again.
            begin.restore()
            loss = learn()
            self.works = False
            cause = getattr(error, "inner_exception", error)  # of the backend
            why = f"{type(cause).__name__}: {one_line(cause)[:200]}"
            self.say(f"training goes on without --compile, which failed ({why})")
            return loss


class _Beginning:
    """All that a forward and a backward pass change: random generators, gradients, buffers."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.generators = random_state(self.device)
        self.gradients = [_copy(parameter.grad) for parameter in model.parameters()]
        self.buffers = [buffer.clone() for buffer in model.buffers()]

    @torch.no_grad()
    def restore(self) -> None:
        restore_random_state(self.generators, self.device)
        for parameter, gradient in zip(self.model.parameters(), self.gradients, strict=True):
            parameter.grad = gradient
        for buffer, value in zip(self.model.buffers(), self.buffers, strict=True):
            buffer.copy_(value)


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()
