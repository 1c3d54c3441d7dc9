from __future__ import annotations

import math

import pytest
import torch

from common.errors import UserError
from common.training.loss import Loss
from common.training.meter import Meter, memory_in_use, perplexity
from tests.tolerances import rounding


def loss(value: float, nll: float, correct: int, tokens: int) -> Loss:
    return Loss(*(torch.tensor(number) for number in (value, nll, correct, tokens)))


def test_figures_are_means_over_tokens():
    meter = Meter()
    meter.add(loss(2.0, 10.0, 4, 8), torch.tensor(1.0), 3, 1)
    meter.add(loss(5.0, 6.0, 0, 2), torch.tensor(3.0), 1, 2)
    figures = meter.report()
    expected = {
        "train/loss": (2 * 8 + 5 * 2) / 10,
        "train/perplexity": math.exp(16 / 10),
        "train/token_accuracy": 0.4,
        "train/gradient_norm": 2.0,
    }
    found = {name: figures[name] for name in expected}
    assert found == pytest.approx(expected, rel=rounding(4))
    ratio = figures["speed/tokens_per_second"] / figures["speed/examples_per_second"]
    assert ratio == pytest.approx(10 / 4)
    assert len(meter) == 0


def test_the_first_step_that_went_wrong_is_named():
    for what, value, norm in (("loss", math.nan, 1.0), ("gradient", 1.0, math.inf)):
        meter = Meter()
        meter.add(loss(1.0, 1.0, 1, 1), torch.tensor(1.0), 1, 7)
        meter.read()
        meter.add(loss(1.0, 1.0, 1, 1), torch.tensor(1.0), 1, 8)
        meter.add(loss(value, 1.0, 1, 1), torch.tensor(norm), 1, 9)
        meter.add(loss(math.nan, 1.0, 1, 1), torch.tensor(math.nan), 1, 10)
        with pytest.raises(UserError, match=f"the {what} became (nan|inf) at step 9"):
            meter.report()


def test_a_window_that_was_saved_is_reported_whole():
    one, other = Meter(), Meter()
    for meter in (one, other):
        meter.add(loss(2.0, 10.0, 4, 8), torch.tensor(1.0), 3, 1)
    third = Meter()
    third.load_state_dict(one.state_dict())
    for meter in (third, other):
        meter.add(loss(5.0, 6.0, 0, 2), torch.tensor(3.0), 1, 2)
    expected, figures = other.report(), third.report()
    for name in ("train/loss", "train/perplexity", "train/token_accuracy", "train/gradient_norm"):
        assert figures[name] == expected[name]


def test_perplexity_beyond_a_float_is_infinite():
    assert perplexity(math.log(7) * 5, 5) == pytest.approx(7)
    assert perplexity(1e6, 1) == math.inf


def test_memory_of_this_process():
    held = memory_in_use(torch.device("cpu")).get("memory/process_gib")
    assert held is None or 0.01 < held < 1000
