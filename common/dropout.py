"""Dropout whose coins are cheap on a CPU, too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COINS = 2**16
"""A coin is one of so many numbers: probabilities are rounded to that."""


class Dropout(nn.Dropout):
    """Drops features while training and scales the others up (Srivastava et al. 2014).

    On a CPU, PyTorch draws a random number for every feature, and that takes longer than the
    products of a small network. Here one 64-bit number makes four coins: a third of the time. On
    other devices it is PyTorch's own.

    Args:
        p: the probability of dropping a feature.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def forward(self, values: Tensor) -> Tensor:
        """values: of any shape. Returns the same shape."""
        dropped = round(self.p * COINS)
        if not self.training or dropped in (0, COINS) or values.device.type != "cpu":
            return F.dropout(values, self.p, self.training)
        numbers = torch.empty(-(-values.numel() // 4), dtype=torch.int64)
        coins = numbers.random_(-(2**63), None).view(torch.int16)[: values.numel()]
        kept = coins.view(values.shape) >= dropped - COINS // 2
        return values * kept.to(values.dtype).mul_(COINS / (COINS - dropped))
