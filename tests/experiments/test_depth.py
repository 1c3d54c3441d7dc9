"""Depth: the table of every kind of network, resumed and evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.training import session
from common.training.task import Evaluation
from experiments.depth import Options, make_task
from tests.experiments.runs import assert_same_weights

KIND = "depth"


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be: that is the question.\n" * 100)
    return path


def train(folder: Path, text: Path, epochs: int = 2, **changes) -> Evaluation:
    training = replace(
        Options.training, epochs=epochs, batch_size=8, device="cpu", threads=1, precision="fp32",
        schedule="constant",
    )  # fmt: skip
    options = Options(run_dir=folder, data=text, layers=2, networks=2, hidden_size=8)
    return session.train(replace(options, training=training, **changes), make_task, KIND)


def test_every_kind_of_network_is_in_the_table(tmp_path, text):
    run = tmp_path / "run"
    metrics = train(run, text).metrics
    assert {"plain_1", "plain_2", "residual_2", "wide_1", "wide_1_deviation"} < set(metrics)
    rows = [line.split("\t") for line in (run / "depth-val.tsv").read_text().splitlines()]
    weights = {row[0]: int(row[2]) for row in rows[1:]}
    assert weights["plain_1"] < weights["plain_2"] == weights["residual_2"] <= weights["wide_1"]
    assert weights["wide_1"] < 1.2 * weights["plain_2"]
    assert float(rows[1][4]) == pytest.approx(metrics["plain_1"], abs=1e-4)
    assert (run / "depth-val.png").read_bytes().startswith(b"\x89PNG")
    again = session.evaluate(run, Options, make_task, KIND, device="cpu")
    assert again.metrics == pytest.approx(metrics)


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path, text):
    train(tmp_path / "whole", text)
    train(tmp_path / "part", text, epochs=1)
    train(tmp_path / "part", text, resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")
