"""Forecasts with their baselines: trained, resumed, evaluated, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.training import session
from common.training.options import TrainingOptions
from common.training.task import Evaluation
from experiments.forecast import Options, make_task
from tests.experiments.runs import assert_same_weights

KIND = "forecast"


def train(folder: Path, epochs: int = 2, **changes) -> Evaluation:
    training = TrainingOptions(
        epochs=epochs, learning_rate=0.01, device="cpu", precision="fp32", patience=0
    )
    sizes = Options(run_dir=folder, networks=1, hidden_size=8, stride=4, training=training)
    return session.train(replace(sizes, **changes), make_task, KIND)


@pytest.mark.numerical
def test_a_recurrent_network_forecasts_a_chaotic_series_better(tmp_path):
    metrics = train(tmp_path / "run", epochs=12, stride=1, hidden_size=16).metrics
    assert metrics["gru"] < 0.8 * metrics["ridge"] < metrics["last"]
    assert metrics["gru"] < 0.8 * metrics["linear"]
    assert (tmp_path / "run" / "forecast-val.png").read_bytes().startswith(b"\x89PNG")
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    assert again.metrics == pytest.approx(metrics)


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "part", epochs=1)
    train(tmp_path / "part", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")


def test_a_file_with_a_season_is_forecast_in_percent(tmp_path):
    path = tmp_path / "load.csv"
    hours = np.arange(300)
    load = 100 + 20 * np.sin(2 * np.pi * hours / 12) + 0.1 * hours
    path.write_text("hour,load\n" + "".join(f"{h},{v:.4f}\n" for h, v in enumerate(load)))
    settings = {"horizon": 12, "window": 12, "season": 24, "backtest": 48, "scale": "log"}
    evaluation = train(tmp_path / "run", data=path, cycles=(12,), **settings)
    assert {"season", "growth", "ridge", "gru", "linear"} < set(evaluation.metrics)
    assert evaluation.metrics["ridge"] < evaluation.metrics["season"]
    assert evaluation.signatures["gru"] == "mean absolute error, percent"
    with pytest.raises(UserError, match="too few"):
        train(tmp_path / "few", data=path, **settings | {"backtest": 290})
    with pytest.raises(UserError, match="season of 6 steps is shorter"):
        train(tmp_path / "short", data=path, **settings | {"season": 6})
