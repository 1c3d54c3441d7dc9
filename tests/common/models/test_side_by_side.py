"""Models that are trained at once learn as each would alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.models import SideBySide
from common.training import Loss

pytestmark = pytest.mark.usefixtures("float64")


class Line(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([slope, 1.0]))

    def loss(self, batch: torch.Tensor) -> Loss:
        return Loss((self.slope * batch).square().sum(), torch.tensor(1))


def step(model, parameters, clip):
    optimizer = torch.optim.SGD(parameters, 0.1)
    clip(optimizer)
    model.loss(torch.tensor([3.0, 4.0])).value.backward()
    optimizer.step()


def test_each_is_clipped_by_itself():
    both = SideBySide({"small": Line(0.01), "large": Line(1e6), "free": Line(1.0)})
    norms = {"small": 1.0, "large": 1.0, "free": 0.0}
    step(both, both.parameters(), lambda optimizer: both.clip_each(optimizer, norms))
    for name, slope in (("small", 0.01), ("large", 1e6), ("free", 1.0)):
        alone = Line(slope)

        def clip(optimizer, alone=alone, norm=norms[name]):
            def hook(*_):
                if norm:
                    nn.utils.clip_grad_norm_(alone.parameters(), norm)

            optimizer.register_step_pre_hook(hook)

        step(alone, alone.parameters(), clip)
        torch.testing.assert_close(both.by_name[name].slope, alone.slope, rtol=0, atol=0)
