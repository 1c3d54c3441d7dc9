"""Models of equal size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from common.errors import UserError


def number_of_weights(model: nn.Module) -> int:
    """The elements of all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def largest_size(build: Callable[[int], nn.Module], weights: int) -> int:
    """The largest size at which a model has at most so many weights.

    Args:
        build: makes the model of a size; larger ones have more weights. Nothing is computed.

    Raises:
        UserError: the smallest model, of size 1, has more.
    """
    size = 0
    for step in (2**power for power in range(15, -1, -1)):
        with torch.device("meta"):
            fits = number_of_weights(build(size + step)) <= weights
        size += step * fits
    if not size:
        raise UserError(f"{weights:,} weights are too few: the smallest such model has more.")
    return size
