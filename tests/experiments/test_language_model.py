"""The next character or word: learnt from a stream, from lines and from windows, and written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.errors import UserError
from common.models.options import LanguageModelOptions
from common.training import session
from common.training.options import TrainingOptions
from common.training.task import Evaluation
from experiments.language_model import SENTENCE, Options, make_task
from tests.commands import ROOT, run_module

KIND = "language_model"
TRAINING = TrainingOptions(
    epochs=2,
    batch_size=4,
    learning_rate=0.01,
    device="cpu",
    precision="fp32",
    patience=0,
    threads=1,
)


def options(folder: Path, epochs: int = 2, **changes) -> Options:
    network = LanguageModelOptions(cell="gru", hidden_size=12, embedding_size=6, output_dropout=0.2)
    training = replace(TRAINING, epochs=epochs)
    return replace(Options(run_dir=folder, model=network, training=training), **changes)


@pytest.fixture
def stream(tmp_path) -> dict:
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be\n" * 20)
    return {"data": path, "reading": "stream", "steps": 8}


def train(folder: Path, epochs: int = 2, on_progress=None, **changes) -> Evaluation:
    made = options(folder, epochs, **changes)
    return session.train(made, make_task, KIND, on_progress=on_progress)


def weights(folder: Path) -> dict:
    return torch.load(folder / "training.pt", weights_only=True)["model"]


def test_the_korean_sentence_is_being_learnt(tmp_path):
    training = replace(Options.training, epochs=5, device="cpu", precision="fp32", threads=1)
    first = session.train(
        Options(run_dir=tmp_path / "run", training=training), make_task, KIND
    ).metrics
    assert len(SENTENCE) == 71 and first["loss"] < 3.6 and first["token_accuracy"] > 0.1
    assert (tmp_path / "run" / "loss-val.png").stat().st_size > 1000
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    assert again.metrics["loss"] == pytest.approx(first["loss"])


def test_a_stream_stopped_inside_an_epoch_goes_on_with_its_state(tmp_path, stream):
    train(tmp_path / "whole", 3, **stream)

    def stop(updates: int, most: int | None) -> None:
        if updates == 15:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped after step 16"):
        train(tmp_path / "part", 3, stop, **stream)
    assert weights(tmp_path / "part")["carried.part0"].any()
    train(tmp_path / "part", 3, resume=True, **stream)
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(whole[name], part[name]) for name in whole)


def test_a_stream_is_scored_as_a_whole_and_in_blocks(tmp_path, stream):
    found = train(tmp_path / "run", **stream)
    assert {
        "loss",
        "loss_in_blocks",
        "perplexity",
        "token_accuracy",
        "baseline",
    } == found.metrics.keys()
    assert found.metrics["baseline"] < 0.5  # what repeats itself is easily counted
    command = [sys.executable, "-m", "experiments.language_model", "write", tmp_path / "run"]
    how = ["--prefix", "to", "--max-length", "9", "--min-length", "9", "--top-k", "3"]
    shown = subprocess.run(
        [*command, *how, "--num-samples", "2", "--device", "cpu"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    first, second = shown.stdout.rstrip("\n").split("\n\n")
    assert first.startswith("to") and second.startswith("to")
    assert len(first) == len(second) == 11


def test_lines_of_words(tmp_path):
    (tmp_path / "train.en").write_text("A dog runs.\nA cat sleeps.\n\nA dog sleeps.\n" * 5)
    (tmp_path / "val.en").write_text("A cat runs!\n")
    how = {"data": tmp_path / "train.en", "unit": "words", "reading": "lines"}
    metrics = train(tmp_path / "run", 30, **how).metrics
    assert metrics["token_accuracy"] >= 0.4 and metrics["perplexity"] > 1
    tokens = (tmp_path / "run" / "sample-val.txt").read_text().split()
    assert set(tokens) <= {"a", "dog", "cat", "runs", "sleeps", "."}
    (tmp_path / "val.en").unlink()
    with pytest.raises(UserError, match=r"val\.en does not exist"):
        train(tmp_path / "other", **how)


def test_what_does_not_go_together_is_refused(tmp_path):
    network = LanguageModelOptions(tie_embeddings=True)
    with pytest.raises(UserError, match="one-hot"):
        train(tmp_path / "run", model=network)
    assert not (tmp_path / "run").exists()
    small = tmp_path / "small.txt"
    small.write_text("abc")
    with pytest.raises(UserError, match="4 rows"):
        train(tmp_path / "run", data=small, reading="stream")


def test_its_help():
    shown = run_module("experiments.language_model", "train", "--help")
    assert shown.returncode == 0 and "--reading" in shown.stdout and "--locked" in shown.stdout
    shown = run_module("experiments.language_model", "write", "--help")
    assert "--prefix" in shown.stdout and "--top-p" in shown.stdout
