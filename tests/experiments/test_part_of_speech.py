"""A third task on the session: trained, resumed, evaluated and explained as the pipelines are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.cli.command_line import parse_options
from common.data.conllu import read_conllu
from common.errors import UserError
from common.runs.weights import read_weights
from common.training import session
from common.training.options import TrainingOptions
from common.training.task import Evaluation
from experiments.part_of_speech import Options, make_task
from tests.commands import run_module
from tests.experiments.runs import assert_same_weights

KIND = "part_of_speech"


def options(folder: Path, epochs: int = 40, **changes) -> Options:
    training = TrainingOptions(
        epochs=epochs, batch_size=4, learning_rate=0.01, device="cpu", precision="fp32", patience=0
    )
    return replace(Options(run_dir=folder, hidden_size=32, training=training), **changes)


def train(folder: Path, epochs: int = 40, **changes) -> Evaluation:
    return session.train(options(folder, epochs, **changes), make_task, KIND)


@pytest.mark.numerical
def test_the_same_word_is_tagged_by_its_place(tmp_path):
    metrics = train(tmp_path / "run").metrics
    assert metrics["accuracy"] == 1.0 and metrics["baseline"] == 0.75
    assert metrics["by_place"] == 1.0
    tagged = (tmp_path / "run" / "tagged-val.tsv").read_text().split("\n")
    assert "google\tVERB\tVERB" in tagged and "google\tNOUN\tNOUN" in tagged
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, "val", device="cpu")
    assert again.metrics["accuracy"] == 1.0
    with pytest.raises(UserError, match="split 'test'.*train, val"):
        session.evaluate(tmp_path / "run", Options, make_task, KIND, "test", device="cpu")


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    train(tmp_path / "whole", epochs=3)
    train(tmp_path / "part", epochs=1)
    train(tmp_path / "part", epochs=3, resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")
    with pytest.raises(UserError, match="was started with hidden_size = 32, not 16"):
        train(tmp_path / "part", epochs=3, hidden_size=16, resume=True)


def typed(*arguments: object) -> Evaluation:
    options = parse_options(Options, [str(each) for each in arguments], prog="train", kind=KIND)
    return session.train(options, make_task, KIND)


def test_a_run_goes_on_by_its_folder_alone_and_another_begins_with_it(tmp_path, capsys):
    whole, part = tmp_path / "whole", tmp_path / "part"
    train(whole, epochs=3, bidirectional=False)
    train(part, epochs=1, bidirectional=False)
    typed("--run-dir", part, "--resume", "--epochs", 3)
    assert_same_weights(whole, part)
    with pytest.raises(
        UserError, match="^--bidirectional: .* was started with --no-bidirectional, "
    ):
        typed("--run-dir", part, "--resume", "--bidirectional")
    capsys.readouterr()
    typed(
        "--run-dir", tmp_path / "new", "--init-from", part, "--learning-rate", 0, "--epochs", 1,
        "--device", "cpu", "--precision", "fp32",
    )  # fmt: skip
    assert f"begins with the weights of {part}: embedding, recurr" in capsys.readouterr().err
    ours, theirs = (read_weights(each / "model.safetensors") for each in (tmp_path / "new", part))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)  # as small, as one-sided


TREEBANK = """# text = Don't go
1-2	Don't	_	_	_
1	Do	do	AUX	VB
2	n't	not	PART	RB
3	go	go	VERB	VB
3.1	_	_	X	_

1	Go	go	VERB	VB
"""


def test_a_treebank_is_read_and_learnt(tmp_path):
    for name in ("en-ud-train", "en-ud-dev"):
        (tmp_path / f"{name}.conllu").write_text(TREEBANK)
    sentences = list(read_conllu(tmp_path / "en-ud-train.conllu"))
    assert sentences == [(["Do", "n't", "go"], ["AUX", "PART", "VERB"]), (["Go"], ["VERB"])]
    evaluation = train(tmp_path / "run", data=tmp_path)
    assert evaluation.metrics["accuracy"] == 1.0
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tmp_path.glob("*.conllu"):
        (moved / path.name).write_text(TREEBANK)
    again = session.evaluate(
        tmp_path / "run", Options, make_task, KIND, data=str(moved), device="cpu"
    )
    assert again.metrics["accuracy"] == 1.0
    assert (tmp_path / "run" / "tagged-moved-val.tsv").is_file()

    (tmp_path / "en-ud-dev.conllu").write_text("1 Do do AUX\n")
    with pytest.raises(UserError, match=r"en-ud-dev\.conllu:1: not a line of CoNLL-U"):
        train(tmp_path / "other", data=tmp_path)
    (tmp_path / "en-ud-dev.conllu").unlink()
    with pytest.raises(UserError, match="split 'val'"):
        train(tmp_path / "other", data=tmp_path)


def test_its_help_offers_no_teacher_forcing():
    shown = run_module("experiments.part_of_speech", "train", "--help")
    assert shown.returncode == 0 and "--hidden-size" in shown.stdout
    assert "teacher" not in shown.stdout and "smoothing" not in shown.stdout
