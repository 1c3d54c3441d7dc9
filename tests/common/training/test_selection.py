from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from common.training.progress import Progress
from common.training.selection import Selection


@pytest.mark.parametrize(
    "mode, value, best, expected",
    [
        ("max", 2.0, {}, True),
        ("max", 2.0, {"x": 1.0}, True),
        ("max", 2.0, {"x": 2.0}, False),
        ("min", 2.0, {"x": 3.0}, True),
        ("min", 2.0, {"x": 1.0}, False),
        ("max", float("nan"), {}, False),
        ("min", float("nan"), {"x": 1.0}, False),
        ("max", float("-inf"), {}, True),
    ],
)
def test_what_is_better(mode, value, best, expected):
    progress = Progress(best_metrics=best)
    selection = Selection(nn.Linear(2, 2), progress, dict, monitor="x", mode=mode)
    assert selection.improves({"x": value}) is expected


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize(
    ("loss", "best", "expected"),
    [(1.0, 1.5, True), (1.5, 1.5, False), (2.0, 1.5, False), (math.nan, 1.5, False),
     (1.0, math.nan, False)],
)  # fmt: skip
def test_of_equal_scores_the_lower_loss_is_better(mode, loss, best, expected):
    progress = Progress(best_metrics={"x": 0.0, "loss": best})
    selection = Selection(nn.Linear(2, 2), progress, dict, monitor="x", mode=mode)
    assert selection.improves({"x": 0.0, "loss": loss}) is expected
    better = 1.0 if mode == "max" else -1.0
    assert selection.improves({"x": better, "loss": 9.0}) and not selection.improves(
        {"x": -better, "loss": 0.0}
    )


def test_kept_weights_do_not_change_with_the_model():
    model = nn.Linear(2, 2)
    selection = Selection(model, Progress(best_step=1))
    selection.keep()
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.zero_()
    selection.finish()
    assert torch.equal(model.weight, before)
