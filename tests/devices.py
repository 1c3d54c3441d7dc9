"""Numbers for tests on whatever device is the default: the same on all of them.

The tests of the core name no device: they run on the CPU, and with a GPU as the default device
(`torch.set_default_device`). A GPU draws other numbers than the CPU, so what a test begins with is
drawn on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def drawn(
    draw: Callable[..., Tensor], *arguments: Any, seed: int | torch.Generator, **options: Any
):
    """`draw(*arguments, **options)`, as `torch.randn` and the like, on the default device.

    Args:
        seed: of the numbers, or a generator of the CPU, which goes on.
    """
    generator = torch.Generator("cpu").manual_seed(seed) if isinstance(seed, int) else seed
    numbers = draw(*arguments, generator=generator, device="cpu", **options)
    return numbers.to(torch.get_default_device())


def generator(seed: int) -> torch.Generator:
    """A generator of the default device, for what is drawn there: by a search, say."""
    return torch.Generator(torch.get_default_device()).manual_seed(seed)
