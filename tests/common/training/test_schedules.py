from __future__ import annotations

import math

import pytest
import torch

from common.training.schedules import Constant, Cosine, InverseSquareRoot, Plateau


def test_constant_after_a_linear_warm_up():
    factors = [Constant(warmup_steps=4).factor(step) for step in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1, 1, 1]
    assert Constant().factor(0) == 1


def test_cosine_by_hand():
    schedule = Cosine(12, warmup_steps=2, floor=0.1)
    assert [schedule.factor(step) for step in (0, 1, 2)] == [0.5, 1, 1]
    assert schedule.factor(7) == pytest.approx(0.1 + 0.9 / 2)
    assert schedule.factor(12) == schedule.factor(1000) == pytest.approx(0.1)


def test_cosine_is_that_of_torch():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    schedule = Cosine(20)
    for step in range(21):
        assert schedule.factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        reference.step()


def test_inverse_square_root_by_hand():
    schedule = InverseSquareRoot(warmup_steps=100)
    assert schedule.factor(0) == 0.01
    assert schedule.factor(49) == 0.5
    assert schedule.factor(99) == 1
    assert schedule.factor(399) == 0.5
    factors = [schedule.factor(step) for step in range(1000)]
    assert max(factors) == 1 and factors.index(1) == 99


def test_plateau_lowers_the_rate_after_patience():
    schedule = Plateau(decay=0.5, patience=1, floor=0.2)
    seen = []
    for improved in (True, False, False, True, False, False, False, False, False, False):
        schedule.validated(improved)
        seen.append(schedule.factor(0))
    assert seen == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_plateau_is_that_of_torch():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.3, patience=2, threshold=0
    )
    schedule, best = Plateau(decay=0.3, patience=2, floor=0), -math.inf
    for metric in torch.rand(60).tolist():
        reference.step(metric)
        schedule.validated(metric > best)
        best = max(best, metric)
        assert schedule.factor(0) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_plateau_resumes():
    one, other = Plateau(patience=1), Plateau(patience=1)
    one.validated(False)
    other.load_state_dict(one.state_dict())
    other.validated(False)
    assert other.factor(0) == 0.5


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="total_steps"):
        Cosine(10, warmup_steps=10)
