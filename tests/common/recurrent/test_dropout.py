"""Dropout: the right share is dropped, the mean stays, and the seed decides."""

from __future__ import annotations

import pytest
import torch

from common.recurrent.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_mean_that_stays(p):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1_000, 333))
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.003)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    kept = dropped[dropped != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=2e-4)


def test_coins_are_independent_of_each_other():
    """Four coins come from one number: neighbours must not know of each other."""
    torch.manual_seed(0)
    kept = Dropout(0.5)(torch.ones(400_000)) != 0
    for distance in range(1, 9):
        together = (kept[distance:] & kept[:-distance]).float().mean().item()
        assert together == pytest.approx(0.25, abs=0.004)


def test_the_gradient_passes_where_features_were_kept():
    values = torch.randn(7, 5, dtype=torch.double, requires_grad=True)
    dropped = Dropout(0.4)(values)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(gradient * values, dropped)


def test_the_seed_decides():
    values, dropout = torch.ones(100), Dropout(0.5)
    torch.manual_seed(3)
    once = dropout(values)
    assert not torch.equal(dropout(values), once)
    torch.manual_seed(3)
    assert torch.equal(dropout(values), once)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_type(shape, dtype):
    dropped = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert dropped.shape == shape
    assert dropped.dtype == dtype


def test_nothing_everything_and_evaluation():
    values = torch.randn(50)
    assert torch.equal(Dropout(0.0)(values), values)
    assert not Dropout(1.0)(values).any()
    assert torch.equal(Dropout(0.5).eval()(values), values)
    with pytest.raises(ValueError, match="probability"):
        Dropout(1.5)
