"""A chatbot is trained, resumed, evaluated, and talked to."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.training import session
from common.training.options import TrainingOptions
from common.training.task import Evaluation
from experiments.chatbot import Options, make_task
from tests.commands import ROOT
from tests.experiments.runs import assert_same_weights

KIND = "chatbot"


def train(folder: Path, epochs: int = 1, **changes) -> Evaluation:
    training = TrainingOptions(
        epochs=epochs, batch_size=4, learning_rate=0.01, device="cpu", precision="fp32",
        patience=0, threads=1,
    )  # fmt: skip
    options = Options(run_dir=folder, hidden_size=32, dropout=0.0, training=training)
    return session.train(replace(options, **changes), make_task, KIND)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "talk"
    path.mkdir()
    lines = [f"who is {name}?,{name} is here." for name in ("ann", "bob", "cid", "dan") * 2]
    (path / "train.csv").write_text("\n".join(["Q,A", *lines, "who?,Me.", "who?,You."]))
    (path / "val.csv").write_text("Q,A\nis ann here?,ann is here.\nwho?,Who?\n")
    return path


@pytest.mark.numerical
def test_answers_are_learnt_by_heart(tmp_path, folder):
    metrics = train(tmp_path / "run", 30, data=folder).metrics
    assert metrics["exact"] == 1.0 and metrics["distinct_1_reference"] == 1.0
    assert metrics["chrf_nearest"] > 50 and metrics["perplexity"] > 1
    rows = (tmp_path / "run" / "answers-val.tsv").read_text().split("\n")
    assert rows[0] == "question\tanswer\tnearest\treference" and len(rows) == 3
    assert any(row.startswith("is ann here?\t") and row.endswith("\tann is here.") for row in rows)
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    assert again.metrics == pytest.approx(metrics)
    for path in folder.iterdir():
        path.unlink()  # talking needs no data
    command = [sys.executable, "-m", "experiments.chatbot", "talk", tmp_path / "run"]
    shown = subprocess.run(
        [*command, "--device", "cpu"],
        input="who is bob?\n\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == "bob is here.\n\n"


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    train(tmp_path / "whole", 2)
    train(tmp_path / "part")
    train(tmp_path / "part", 2, resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")
