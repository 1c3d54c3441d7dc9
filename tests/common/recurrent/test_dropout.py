"""Dropout: the right fraction is dropped, the mean is kept, and the seed determines the mask."""

from __future__ import annotations

import pytest
import torch

from common.recurrent.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_the_dropped_fraction_and_the_mean(p):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1_000, 333))
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.003)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    kept = dropped[dropped != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=2e-4)


def test_features_are_dropped_independently():
    """Four bits of a mask come from one random number: neighbours must be independent."""
    torch.manual_seed(0)
    kept = Dropout(0.5)(torch.ones(400_000)) != 0
    for distance in range(1, 9):
        together = (kept[distance:] & kept[:-distance]).float().mean().item()
        assert together == pytest.approx(0.25, abs=0.004)


def test_the_gradient_is_that_of_the_kept_features():
    values = torch.randn(7, 5, dtype=torch.double, requires_grad=True)
    dropped = Dropout(0.4)(values)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(gradient * values, dropped)


def test_the_seed_determines_the_mask():
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
