"""Dropout with a faster mask on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 2**16
"""Each feature is dropped by a 16-bit number: probabilities are rounded to multiples of 1 / LEVELS."""


class Dropout(nn.Dropout):
    """Drops features while training and scales the others up (Srivastava et al. 2014).

    On a CPU, PyTorch draws a random number for every feature, which takes longer than the products of
    a small network. Here one 64-bit number serves four features, in a third of the time. On other
    devices it is PyTorch's own dropout.

    Args:
        p: the probability of dropping a feature.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def forward(self, values: Tensor) -> Tensor:
        """values: of any shape. Returns the same shape."""
        dropped = round(self.p * LEVELS)
        if not self.training or dropped in (0, LEVELS) or values.device.type != "cpu":
            return F.dropout(values, self.p, self.training)
        numbers = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device="cpu")
        drawn = numbers.random_(-(2**63), None).view(torch.int16)[: values.numel()]
        kept = drawn.view(values.shape) >= dropped - LEVELS // 2
        return values * kept.to(values.dtype).mul_(LEVELS / (LEVELS - dropped))
