from __future__ import annotations

import pytest
import torch

from common.training.schedules import constant, cosine, inverse_sqrt


def test_constant_after_a_linear_warm_up():
    assert list(map(constant(warmup_steps=4), range(6))) == [0.25, 0.5, 0.75, 1, 1, 1]
    assert constant()(0) == constant()(10**9) == 1


def test_cosine_by_hand():
    factor = cosine(12, warmup_steps=2, floor=0.1)
    assert [factor(step) for step in (0, 1, 2)] == [0.5, 1, 1]
    assert factor(7) == pytest.approx(0.1 + 0.9 / 2)
    assert factor(12) == factor(1000) == pytest.approx(0.1)


def test_cosine_is_that_of_torch():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    factor = cosine(20)
    for step in range(21):
        assert factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        reference.step()


def test_inverse_square_root_by_hand():
    factor = inverse_sqrt(warmup_steps=100)
    assert [factor(step) for step in (0, 49, 99, 399)] == [0.01, 0.5, 1, 0.5]
    factors = list(map(factor, range(1000)))
    assert max(factors) == 1 and factors.index(1) == 99


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="total_steps"):
        cosine(10, warmup_steps=10)
