"""Memory tasks: what is learnt where little must be remembered; resumed, evaluated, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import UserError
from common.training import session
from common.training.task import Evaluation
from experiments import long_memory
from experiments.long_memory import Options, make_task
from tests.experiments.runs import assert_same_weights

KIND = "long_memory"


@pytest.fixture(autouse=True)
def few_examples(monkeypatch):
    monkeypatch.setattr(long_memory, "EXAMPLES", 100)


def train(folder: Path, epochs: int = 1, **changes) -> Evaluation:
    training = replace(
        Options.training, epochs=epochs, batch_size=32, device="cpu", threads=1, precision="fp32"
    )
    options = Options(run_dir=folder, hidden_size=16, length=6, training=training)
    return session.train(replace(options, **changes), make_task, KIND)


@pytest.mark.numerical
def test_adding_a_few_numbers_is_learnt(tmp_path):
    cells = {"cells": ("gru", "mingru"), "rates": (0.0001, 0.02)}
    metrics = train(tmp_path / "run", epochs=6, full=True, **cells).metrics
    assert metrics["gru"] < 0.02 and metrics["gru_rate"] == 0.02
    assert metrics["mingru"] < 0.5 * metrics["memoryless"]
    assert (tmp_path / "run" / "memory-val.png").read_bytes().startswith(b"\x89PNG")
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    assert again.metrics == pytest.approx(metrics)
    test = session.evaluate(tmp_path / "run", Options, make_task, KIND, "test", device="cpu")
    assert test.metrics["gru"] != metrics["gru"] and test.metrics["gru"] < 0.02


@pytest.mark.parametrize("task", ["adding", "copying"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path, task):
    how = {"task": task, "cells": ("rnn", "lstm"), "rates": (0.01,), "slower": 0.1}
    training = replace(Options.training, schedule="constant", device="cpu", precision="fp32")
    for name, epochs in {"whole": (2,), "part": (1, 2)}.items():
        for each in epochs:
            here = replace(training, epochs=each, batch_size=4)
            evaluation = train(tmp_path / name, training=here, resume=True, **how)
    assert {"memoryless", "rnn", "lstm", "lstm_rate"} < set(evaluation.metrics)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")


def test_what_is_refused(tmp_path):
    with pytest.raises(UserError, match="--rates"):
        train(tmp_path / "run", rates=())
    train(tmp_path / "run", cells=("rnn",), rates=(0.01,))
    with pytest.raises(UserError, match="dev"):
        session.evaluate(tmp_path / "run", Options, make_task, KIND, "dev", device="cpu")
