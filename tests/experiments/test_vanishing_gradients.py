"""The gradient vanishes, explodes, or is kept; with its picture, resumed and evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from common.training import session
from common.training.task import Evaluation
from experiments import vanishing_gradients
from experiments.vanishing_gradients import Options, make_task
from tests.experiments.runs import assert_same_weights

KIND = "vanishing_gradients"


@pytest.fixture(autouse=True)
def few_updates(monkeypatch):
    monkeypatch.setattr(vanishing_gradients, "UPDATES", 3)


def train(folder: Path, epochs: int = 2, **changes) -> Evaluation:
    training = replace(Options.training, epochs=epochs, batch_size=8, device="cpu", threads=1)
    options = Options(run_dir=folder, hidden_size=8, length=30, memory=30, scales=(0.5, 3.0))
    return session.train(replace(options, training=training, **changes), make_task, KIND)


@pytest.mark.numerical
def test_the_gradient_vanishes_explodes_or_is_kept(tmp_path):
    metrics = train(tmp_path / "run").metrics
    assert metrics["rnn_50%_decades"] < -7 and metrics["rnn_300%_decades"] > 1
    assert -2 < metrics["lstm_decades"] < 1 and -2 < metrics["gru_decades"] < 1
    closed = train(tmp_path / "closed", epochs=1, memory=0).metrics
    assert closed["gru_decades"] < -3 < metrics["gru_decades"]
    assert (tmp_path / "run" / "gradients-val.png").read_bytes().startswith(b"\x89PNG")
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    assert again.metrics == pytest.approx(metrics)


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "part", epochs=1)
    train(tmp_path / "part", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")
    # The heat map over training has the curves of before too.
    found = []
    for name in ("whole", "part"):
        shown = EventAccumulator(str(tmp_path / name), {"images": 0}).Reload()
        found.append(
            {tag: shown.Images(tag)[-1].encoded_image_string for tag in shown.Tags()["images"]}
        )
    assert set(found[0]) == {
        "4 pictures/gradient norm by time step", "4 pictures/gradient norm over training"
    }  # fmt: skip
    assert found[0] == found[1]
