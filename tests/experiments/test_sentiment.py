"""Sentences by folds: trained, resumed, evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.cli.command_line import print_metrics
from common.training import session
from common.training.options import TrainingOptions
from common.training.task import Evaluation
from experiments.sentiment import Options, make_task
from tests.experiments.runs import assert_same_weights

KIND = "sentiment"


def train(folder: Path, epochs: int = 2, **changes) -> Evaluation:
    training = TrainingOptions(
        epochs=epochs, batch_size=10, learning_rate=0.01, device="cpu", precision="fp32", patience=0
    )
    options = Options(run_dir=folder, folds=2, hidden_size=16, dropout=0.0, training=training)
    return session.train(replace(options, **changes), make_task, KIND)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of sentences, each with a word of its own."""
    path = tmp_path / "texts"
    path.mkdir()
    for name, word in {"bad": "awful", "good": "fine", "mixed": "uneven"}.items():
        lines = [f"the {thing} is {word}" for thing in ("film", "cast", "plot", "end") * 3]
        (path / f"{name}.txt").write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("how", [{"alone": True}, {"through_time": True}])
def test_several_classes_are_told_apart(tmp_path, folder, how):
    evaluation = train(tmp_path / "run", epochs=20, data=folder, **how)
    assert evaluation.metrics["accuracy"] == 1.0 == evaluation.metrics["bayes_pairs"]
    assert (tmp_path / "run" / "words-val.png").is_file()
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    assert again.metrics == pytest.approx(evaluation.metrics)


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path, folder):
    train(tmp_path / "whole", data=folder)
    train(tmp_path / "part", epochs=1, data=folder)
    train(tmp_path / "part", data=folder, resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")


def test_a_network_below_the_baseline_says_so(tmp_path, folder, capsys):
    good = train(tmp_path / "good", epochs=20, data=folder, alone=True)
    assert good.notes == []
    untaught = TrainingOptions(
        epochs=1, batch_size=10, learning_rate=1e-9, device="cpu", precision="fp32", patience=0
    )
    found = train(tmp_path / "untaught", data=folder, alone=True, training=untaught)
    assert found.metrics["accuracy"] < found.metrics["bayes_pairs"]
    print_metrics(found)
    assert "The network stays below naive Bayes" in capsys.readouterr().out
