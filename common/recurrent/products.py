"""Matrix products by the faster of the libraries that PyTorch has for a CPU."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

FEW_ROWS = 8
"""Below this, oneDNN's preparation costs more than its product saves."""


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `F.linear`, differentiable any number of times; faster on an AMD processor.

    PyTorch hands single-precision products to MKL, which uses the wide vectors of Intel's
    processors only: on AMD's it runs at about half the rate of oneDNN, which PyTorch brings along
    too. Anywhere else, and under autocast, this is `F.linear`.

    Args:
        inputs: (..., F).
        weight: (P, F).
        bias: (P,), or nothing.

    Returns:
        (..., P).
    """
    if inputs.numel() < FEW_ROWS * inputs.shape[-1] or not prefers_onednn(inputs, weight):
        return F.linear(inputs, weight, bias)
    if torch.is_grad_enabled():
        return _Linear.apply(inputs, weight, bias)
    return _onednn(inputs, weight, bias)


def linear_gradients(
    gradient: Tensor, inputs: Tensor, weight: Tensor, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of `linear` with respect to inputs, weight and bias, where needed.

    Args:
        gradient: (..., P) of the product.
        inputs: (..., F).
        weight: (P, F).
        needed: which of the three to compute.
    """
    rows = gradient.flatten(0, -2)  # (N, P)
    return (
        linear(gradient, weight.t()) if needed[0] else None,
        linear(rows.t(), inputs.flatten(0, -2).t()) if needed[1] else None,
        rows.sum(0) if needed[2] else None,
    )


def prefers_onednn(*tensors: Tensor) -> bool:
    """Whether products of these tensors are faster on oneDNN than on what PyTorch would choose."""
    return (
        all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
        and _mkl_is_slow()
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )


def _onednn(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


@cache
def _mkl_is_slow() -> bool:
    has_both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    if not has_both or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    processor = Path("/proc/cpuinfo")
    name = processor.read_text() if processor.exists() else platform.processor()
    return "AuthenticAMD" in name


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _onednn(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        return linear_gradients(gradient, inputs, weight, ctx.needs_input_grad)
