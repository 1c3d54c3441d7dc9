"""A forecaster corrects a simpler model, from which it starts."""

from __future__ import annotations

import pytest
import torch

from common.models.forecaster import Forecaster, SeriesBatch
from common.models.side_by_side import SideBySide


def batch() -> SeriesBatch:
    torch.manual_seed(0)
    return SeriesBatch(torch.randn(4, 6, 3), torch.randn(4, 2), torch.randn(4, 2))


@pytest.mark.parametrize("cell", ["gru", "lstm", "linear"])
def test_an_untrained_forecaster_is_the_simpler_model_and_learns(cell):
    data, model = batch(), Forecaster(3, 2, 6, cell=cell, hidden_size=16)
    assert torch.equal(model.predict(data), data.base)
    first = model.loss(data)
    torch.testing.assert_close(first.value, (data.base - data.targets).abs().mean())
    assert first.count == 8
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(data).value.backward()
        optimizer.step()
    assert model.loss(data).value < 0.5 * first.value


def test_the_linear_one_is_linear():
    data, model = batch(), Forecaster(3, 2, 6, cell="linear")
    torch.nn.init.normal_(model.output.weight)
    nothing = torch.zeros_like(data.base)
    change = model(data.inputs, nothing) - model(0 * data.inputs, nothing)
    twice = model(2 * data.inputs, nothing) - model(0 * data.inputs, nothing)
    torch.testing.assert_close(twice, 2 * change, rtol=1e-4, atol=1e-5)


def test_models_side_by_side_learn_as_each_would_alone():
    data = batch()
    models = {cell: Forecaster(3, 2, 6, cell=cell) for cell in ("gru", "linear")}
    both = SideBySide(models)
    loss = both.loss(data)
    alone = {name: model.loss(data) for name, model in models.items()}
    torch.testing.assert_close(loss.value, sum(each.value for each in alone.values()))
    for name, each in alone.items():
        torch.testing.assert_close(loss.sums[name], each.value * each.count)
    assert both.by_name == models
    assert torch.equal(both.loss(dict.fromkeys(models, data)).value, loss.value)
