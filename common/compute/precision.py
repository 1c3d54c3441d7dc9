"""The arithmetic of matrix products: float32 or bfloat16, whichever is faster on this machine.

On some processors bfloat16 is 2.5 times as fast as float32, on others two thirds as fast; on an H100,
small networks are trained faster in float32, since launching the kernels that cast takes longer than
the products save. So it is measured.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.compute import Precision
from common.compute.device import has_bfloat16, is_gpu, tensor_float32

Chosen: TypeAlias = Literal["fp32", "bf16"]

NEEDED = 1.15
"""How many times as fast bfloat16 must be: around the products, autocast takes time of its own."""
SECONDS = 0.025
"""How long a measurement takes."""
ROWS = 64
"""Rows of a measured product: about a batch."""
LARGEST = 2**24
"""Most operations of a measured product on a CPU: there must be time for several rounds."""
LARGEST_ON_GPU = 2**31
REPEATS = 20
"""Times that a GPU repeats a product between two synchronisations."""


def choose_precision(
    precision: Precision, model: nn.Module, device: torch.device | None = None
) -> Chosen:
    """The precision that a model is to be computed with.

    Args:
        precision: "fp32" or "bf16", which is returned. "auto" is bf16 where it is faster: where the
            device has it, and products of the model's sizes are measured to be at least 1.15 times as
            fast.
        model: whose product sizes are measured.
        device: that of the model by default.
    """
    if precision != "auto":
        return precision
    device = next(model.parameters()).device if device is None else device
    if device.type != "cpu" and not has_bfloat16(device):
        return "fp32"
    return "bf16" if bfloat16_speed_up(model, device) >= NEEDED else "fp32"


def describe_choice(precision: Precision, model: nn.Module) -> str:
    """What `choose_precision` chooses, and why, in one line."""
    chosen = choose_precision(precision, model)
    device = next(model.parameters()).device
    if precision != "auto":
        why = "as requested"
    elif device.type != "cpu" and not has_bfloat16(device):
        why = f"{device} lacks bfloat16"
    else:
        ratio = bfloat16_speed_up(model, device)
        why = f"products in bfloat16 are {ratio:.2f} times as fast as in float32 here"
    return f"precision {chosen}: {why}"


def bfloat16_speed_up(model: nn.Module, device: torch.device) -> float:
    """How many times as fast a device multiplies in bfloat16 as in float32, for a model's sizes.

    A measurement of the products of one step, forward and backward, under 50 ms; once in a process for
    the same sizes. On a GPU the launching of kernels is part of the time, as it is in a recurrence.
    """
    return _measured_speed_up(product_sizes(model), device)


def product_sizes(model: nn.Module, most: int = 3) -> tuple[tuple[int, int], ...]:
    """(outputs, features) of the weights with most of a model's arithmetic.

    Embeddings are looked up, not multiplied. Frozen modules run once, if at all.
    """
    modules = [m for m in model.modules() if not isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    weights = [p for m in modules for p in m.parameters(recurse=False) if p.ndim > 1]
    learnt = [weight for weight in weights if weight.requires_grad] or weights
    sizes: Counter[tuple[int, int]] = Counter()
    for weight in learnt:
        sizes[weight.shape[0], weight[0].numel()] += weight.numel()
    return tuple(size for size, _ in sizes.most_common(most))


@lru_cache(maxsize=64)
def _measured_speed_up(sizes: tuple[tuple[int, int], ...], device: torch.device) -> float:
    """The ratio of the fastest of interleaved rounds, on one thread.

    Several threads wait for each other: where other processes use the cores, only that wait would be
    measured.
    """
    if not sizes:
        return 1.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _ratio_of_fastest(sizes, device)
    finally:
        torch.set_num_threads(threads)


def _ratio_of_fastest(sizes: tuple[tuple[int, int], ...], device: torch.device) -> float:
    work = [_Products(outputs, features, device) for outputs, features in sizes]
    best = {dtype: [float("inf")] * len(work) for dtype in (torch.float32, torch.bfloat16)}
    for products in work:  # the first call may compile a kernel for the shape
        for dtype in best:
            products.seconds(dtype)
    end = time.perf_counter() + SECONDS
    while True:
        for place, products in enumerate(work):
            for dtype, fastest in best.items():
                fastest[place] = min(fastest[place], products.seconds(dtype))
        if time.perf_counter() >= end:
            return sum(best[torch.float32]) / sum(best[torch.bfloat16])


class _Products:
    """The products of one layer: forward, and backward to its input and to its weight."""

    def __init__(self, outputs: int, features: int, device: torch.device) -> None:
        largest = LARGEST_ON_GPU if is_gpu(device) else LARGEST
        outputs = max(1, min(outputs, largest // (2 * ROWS * features)))
        self.device = device
        # Ones: the values do not matter, and random ones would change the state of the generators.
        self.inputs = torch.ones(ROWS, features, device=device)
        self.gradient = torch.ones(ROWS, outputs, device=device)
        weight = torch.ones(outputs, features, device=device)
        self.weights: dict[torch.dtype, Tensor] = {
            dtype: weight.to(dtype) for dtype in (torch.float32, torch.bfloat16)
        }

    @torch.no_grad()
    def seconds(self, dtype: torch.dtype) -> float:
        """The time of the products, and of casting activations, but not of casting weights, which
        autocast does once for many steps."""
        if not is_gpu(self.device):
            # The CPU time of this thread, which does not count the time of other processes.
            start = time.thread_time()
            self.multiply(dtype)
            return time.thread_time() - start
        synchronize = torch.get_device_module(self.device).synchronize
        synchronize(self.device)
        start = time.perf_counter()
        for _ in range(REPEATS):
            self.multiply(dtype)
        synchronize(self.device)
        return (time.perf_counter() - start) / REPEATS

    def multiply(self, dtype: torch.dtype) -> None:
        weight = self.weights[dtype]
        inputs, gradient = self.inputs.to(dtype), self.gradient.to(dtype)
        F.linear(inputs, weight)
        gradient @ weight
        gradient.t() @ inputs


@contextmanager
def without_gradients() -> Iterator[None]:
    """`torch.no_grad` that is safe within autocast.

    Autocast caches the weights that it has cast until its outermost block ends. Those that were cast
    here have no graph, and a loss computed later in that block would miss their gradient.
    """
    try:
        with torch.no_grad():
            yield
    finally:
        torch.clear_autocast_cache()


@contextmanager
def arithmetic(device: torch.device, precision: Chosen) -> Iterator[None]:
    """Within the block, matrix products are computed in a precision.

    "bf16" is `torch.autocast` to bfloat16; what it leaves in float32 may be TensorFloat-32 on a GPU.
    "fp32" is float32 throughout. A backward pass outside of the block needs `tensor_float32` around
    it as well.
    """
    bf16 = precision == "bf16"
    with (
        tensor_float32(device, allowed=bf16),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        yield
