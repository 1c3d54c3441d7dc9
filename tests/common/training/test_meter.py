from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch

from common.errors import UserError
from common.training.loss import Loss
from common.training.meter import Meter, memory_in_use
from tests.tolerances import rounding


def loss(value: float, errors: float, count: int) -> Loss:
    return Loss(torch.tensor(value), torch.tensor(count), {"errors": torch.tensor(errors)})


def twice(sums: Mapping[str, float], count: float) -> dict[str, float]:
    return {"twice_the_error": 2 * sums["errors"] / count}


def test_figures_are_of_the_sums_over_the_counts():
    meter = Meter(twice, "points")
    meter.add(loss(2.0, 10.0, 8), torch.tensor(1.0), 3, 1)
    meter.add(loss(5.0, 6.0, 2), torch.tensor(3.0), 1, 2)
    figures, speeds = meter.report()
    expected = {"loss": (2 * 8 + 5 * 2) / 10, "twice_the_error": 3.2, "gradient_norm": 2.0}
    assert figures == pytest.approx(expected, rel=rounding(4))
    assert list(speeds) == ["points_per_second", "examples_per_second"]
    assert speeds["points_per_second"] / speeds["examples_per_second"] == pytest.approx(10 / 4)
    assert len(meter) == 0


def test_without_a_unit_and_without_sums():
    meter = Meter()
    meter.add(Loss(torch.tensor(2.0), torch.tensor(8)), torch.tensor(1.0), 3, 1)
    figures, speeds = meter.report()
    assert figures == {"loss": 2.0, "gradient_norm": 1.0}
    assert list(speeds) == ["examples_per_second"]


def test_the_first_step_that_went_wrong_is_named():
    for what, value, norm in (("loss", math.nan, 1.0), ("gradient", 1.0, math.inf)):
        meter = Meter()
        meter.add(loss(1.0, 1.0, 1), torch.tensor(1.0), 1, 7)
        meter.read()
        meter.add(loss(1.0, 1.0, 1), torch.tensor(1.0), 1, 8)
        meter.add(loss(value, 1.0, 1), torch.tensor(norm), 1, 9)
        meter.add(loss(math.nan, 1.0, 1), torch.tensor(math.nan), 1, 10)
        with pytest.raises(UserError, match=f"the {what} became (nan|inf) at step 9"):
            meter.report()


def test_a_window_that_was_saved_is_reported_whole():
    one, other = Meter(), Meter()
    for meter in (one, other):
        meter.add(loss(2.0, 10.0, 8), torch.tensor(1.0), 3, 1)
    third = Meter()
    third.load_state_dict(one.state_dict())
    for meter in (third, other):
        meter.add(loss(5.0, 6.0, 2), torch.tensor(3.0), 1, 2)
    assert third.report()[0] == other.report()[0]


def test_memory_of_this_process():
    held = memory_in_use(torch.device("cpu")).get("memory/process_gib")
    assert held is None or 0.01 < held < 1000
