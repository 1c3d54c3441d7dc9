"""The gradient of what a loop multiplies by at every step, computed once after the loop."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def deferring() -> bool:
    """Whether weight gradients are deferred: where there are gradients, outside of `torch.compile` and
    of the transformations of `torch.func`, which see no order among the nodes of a backward pass."""
    return torch.is_grad_enabled() and not (torch.compiler.is_compiling() or transformed())


def transformed() -> bool:
    """Whether a transformation of `torch.func` is active: `grad`, `jvp`, `vmap`."""
    return torch._C._are_functorch_transforms_active()


def view_of(module: AnyModule, **attributes: Any) -> AnyModule:
    """A second module object that shares all that a module holds, but for its own attributes.

    `copy.copy` would ask the module for its state, which one with parametrisations refuses.
    """
    view = object.__new__(type(module))
    view.__dict__.update(module.__dict__, **attributes)
    return view


class DeferredLinear:
    """Replaces `F.linear(x, weight, bias)` inside a loop over time.

    Autograd would compute one small weight gradient in every step and add them up. Here a step's
    backward returns the gradient of its input alone and stores the pair (input, gradient of the
    product); the weight gradient is one large product when all steps have run backward.

    Make a new one for every pass: it holds the weight as it is now. A second derivative is possible;
    what is differentiated twice is not deferred.

    Args:
        weight: (P, F), a parameter or any part of one.
        bias: (P,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._source = (weight, bias)
        self._cast: tuple[Tensor, Tensor | None, Tensor] = (weight, bias, weight)
        self._pairs = _Pairs()
        self._token: Tensor | None = None

    def __call__(self, inputs: Tensor, onto: Tensor | None = None) -> Tensor:
        """The product of inputs (..., F), added to `onto` (..., P) if given. Returns (..., P)."""
        weight, bias = self._source
        trains = weight.requires_grad or (bias is not None and bias.requires_grad)
        if not (trains and deferring()):
            return added(onto, F.linear(inputs, weight, bias))
        if self._token is None:
            self._token = _WeightGradient.apply(self._pairs, weight, bias)
            # Once: autocast caches its casts of leaves only, and would cast a slice in every step.
            weight = as_autocast(weight)
            # A copy with columns of adjacent elements: forward, the product takes a fifth less time.
            columns = weight.detach().t().contiguous().t()
            self._cast = (weight, None if bias is None else as_autocast(bias), columns)
        inputs = inputs.to(self._cast[0].dtype)
        if onto is None or bias is not None or inputs.dim() != 2 or onto.dtype != inputs.dtype:
            product = _Linear.apply(self._pairs, self._token, inputs, *self._cast, None)
            return added(onto, product)
        return _Linear.apply(self._pairs, self._token, inputs, *self._cast, onto)


class DeferredMixture:
    """Replaces `torch.bmm(weights, memory)` inside a loop that reads one memory at every step.

    As in `DeferredLinear`, a step's backward returns the gradient of its weights alone; that of the
    memory is one product when all steps have run backward. Make a new one for every pass.
    """

    def __init__(self) -> None:
        self._pairs = _Pairs()
        self._token: Tensor | None = None

    def __call__(self, weights: Tensor, memory: Tensor) -> Tensor:
        """weights: (B, Q, S); memory: (B, S, M), the same at every call. Returns (B, Q, M)."""
        if not (memory.requires_grad and deferring()):
            return torch.bmm(weights, memory)
        if self._token is None:
            self._token = _MemoryGradient.apply(self._pairs, memory)
        return _Mixture.apply(self._pairs, self._token, weights, memory)


class _Pairs:
    """The (input, gradient) pairs of one backward pass.

    Autograd may run backward through the same steps more than once, and through some of them only
    (`retain_graph`, `torch.autograd.grad`). Each run has a number; pairs of an earlier one are
    discarded.
    """

    def __init__(self) -> None:
        self._run = -1
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def add(self, inputs: Tensor, gradient: Tensor) -> None:
        run = torch._C._current_graph_task_id()
        if run != self._run:
            self._run, self._pairs = run, []
        # Detached: a graph that held its own output would never be freed.
        self._pairs.append((inputs.detach(), gradient))

    def take(self) -> tuple[list[Tensor], list[Tensor]] | None:
        """The inputs and the gradients of this run, in the same order; None if there are none."""
        pairs, self._pairs = self._pairs, []
        if not pairs or torch._C._current_graph_task_id() != self._run:
            return None
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


class _WeightGradient(torch.autograd.Function):
    """An empty tensor (the token) that every step depends on and that depends on the weight.

    So autograd runs its backward after that of all steps: there the weight gradient is computed.
    """

    @staticmethod
    def forward(ctx: Any, pairs: _Pairs, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.pairs = pairs
        ctx.bias_dtype = None if bias is None else bias.dtype
        return weight.new_empty(0)

    @staticmethod
    def backward(ctx: Any, _: Tensor | None) -> tuple[None, Tensor | None, Tensor | None]:
        taken = ctx.pairs.take()
        if taken is None:
            return None, None, None
        inputs, gradients = (torch.cat([t.flatten(0, -2) for t in part]) for part in taken)
        # Transposed, the product takes a tenth less time.
        weight = (inputs.t() @ gradients).t() if ctx.needs_input_grad[1] else None
        bias = gradients.sum(0, dtype=ctx.bias_dtype) if ctx.needs_input_grad[2] else None
        return None, weight, bias


class _Linear(torch.autograd.Function):
    """One step's product; `_WeightGradient` computes the gradient of its weight."""

    @staticmethod
    def forward(
        ctx: Any,
        pairs: _Pairs,
        token: Tensor,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        columns: Tensor,
        onto: Tensor | None,
    ) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(inputs, weight)
        if onto is not None:
            return torch.addmm(onto, inputs, columns.t())  # one pass fewer than a sum
        return F.linear(inputs, columns, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_onto = gradient if ctx.needs_input_grad[6] else None
        if torch.is_grad_enabled():  # create_graph: what goes through the pairs has no graph
            rows = gradient.flatten(0, -2)
            bias = rows.sum(0) if ctx.needs_input_grad[4] else None
            of_weight = rows.t() @ inputs.flatten(0, -2)
            return None, None, gradient @ weight, of_weight, bias, None, of_onto
        ctx.pairs.add(inputs, gradient)
        of_inputs = gradient @ weight if ctx.needs_input_grad[2] else None
        return None, None, of_inputs, None, None, None, of_onto


class _MemoryGradient(torch.autograd.Function):
    """As `_WeightGradient`, of a memory."""

    @staticmethod
    def forward(ctx: Any, pairs: _Pairs, memory: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.pairs = pairs
        return memory.new_empty(0)

    @staticmethod
    def backward(ctx: Any, _: Tensor | None) -> tuple[None, Tensor | None]:
        taken = ctx.pairs.take()
        if taken is None:
            return None, None
        weights, gradients = (torch.cat(part, dim=1) for part in taken)  # (B, N, S), (B, N, M)
        return None, torch.bmm(weights.transpose(1, 2), gradients)


class _Mixture(torch.autograd.Function):
    """One step's mixture; `_MemoryGradient` computes the gradient of its memory."""

    @staticmethod
    def forward(ctx: Any, pairs: _Pairs, token: Tensor, weights: Tensor, memory: Tensor) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(weights, memory)
        return torch.bmm(weights, memory)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights, memory = ctx.saved_tensors
        of_weights = torch.bmm(gradient, memory.transpose(1, 2))
        if torch.is_grad_enabled():  # create_graph: what goes through the pairs has no graph
            return None, None, of_weights, torch.bmm(weights.transpose(1, 2), gradient)
        ctx.pairs.add(weights, gradient)
        return None, None, of_weights, None


def added(onto: Tensor | None, product: Tensor) -> Tensor:
    return product if onto is None else onto + product


def as_autocast(tensor: Tensor) -> Tensor:
    """The tensor in the type that autocast would cast it to for a matrix product."""
    device = tensor.device.type
    if tensor.dtype == torch.float32 and torch.is_autocast_enabled(device):
        return tensor.to(torch.get_autocast_dtype(device))
    return tensor
