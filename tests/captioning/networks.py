"""Networks for tests: random, but lively, and what they look at."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captioning.backbone import Backbone

SIZE = 96


def lively(backbone: Backbone) -> Backbone:
    """BatchNorm as after training: statistics and offsets that matter."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return backbone


def pictures(count: int = 2, size: int = SIZE) -> Tensor:
    return torch.randn(count, 3, size, size)
