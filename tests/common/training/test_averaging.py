from __future__ import annotations

import pytest
import torch

from common.training.selection import WeightAverage
from tests.tolerances import rounding


def test_average_by_hand():
    weight = torch.tensor([1.0], requires_grad=True)
    average = WeightAverage([weight], decay=0.15)
    expected = 1.0
    for update, value in enumerate([3.0, -2.0, 8.0]):
        with torch.no_grad():
            weight.fill_(value)
        average.update()
        decay = min(0.15, (1 + update) / (10 + update))  # 0.1, then 0.15
        expected = decay * expected + (1 - decay) * value
    assert average.averages[0].item() == pytest.approx(expected, rel=rounding(3))
    assert weight.item() == 8.0


def test_applied_only_within_the_block():
    weights = [torch.randn(3), torch.randn(2, 2)]
    average = WeightAverage(weights, decay=0.9)
    for weight in weights:
        weight.add_(1)
    average.update()
    live, smooth = [w.clone() for w in weights], [a.clone() for a in average.averages]
    with pytest.raises(RuntimeError), average.applied():
        assert all(map(torch.equal, weights, smooth))
        raise RuntimeError
    assert all(map(torch.equal, weights, live))
    assert all(map(torch.equal, average.averages, smooth))


def test_average_resumes():
    weight = torch.randn(4)
    one = WeightAverage([weight], decay=0.99)
    for _ in range(3):
        weight.mul_(1.1)
        one.update()
    other = WeightAverage([weight], decay=0.99)
    other.load_state_dict(one.state_dict())
    weight.mul_(0.3)
    one.update()
    other.update()
    assert torch.equal(one.averages[0], other.averages[0])


def test_decay_is_checked():
    with pytest.raises(ValueError, match="decay"):
        WeightAverage([torch.zeros(1)], decay=1.0)
