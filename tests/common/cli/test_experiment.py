"""What the command line of an experiment prints: its progress, its scores, and what to do next."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from common.cli.experiment import experiment
from common.runs import Kept
from common.training import Evaluation, RunOptions, Task, TrainingOptions, held_out, session

KIND = Path(__file__).stem


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn a line."""

    training: TrainingOptions = TrainingOptions(
        epochs=2, patience=0, precision="fp32", device="cpu", threads=1
    )


class Line(nn.Linear):
    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.mse_loss(self(batch[0]), batch[1])


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    data = TensorDataset(torch.rand(40, 1), torch.rand(40, 1))
    model = kept.build_model(lambda: Line(1, 1)).to(device)
    loader = DataLoader(data, batch_size=8, shuffle=True)
    return Task(
        model=model, optimizer=options.training.make_optimizer(model), batches=loader,
        evaluate=lambda model, split: Evaluation(held_out(model, loader)), monitor="loss", mode="min",
    )  # fmt: skip


def run(monkeypatch, capsys, *arguments: object) -> tuple[list[str], list[str]]:
    """The lines of standard output and of standard error."""
    monkeypatch.setattr(sys, "argv", ["experiment", *map(str, arguments)])
    experiment(Options, make_task)
    shown = capsys.readouterr()
    return shown.out.splitlines(), shown.err.splitlines()


def test_the_end_names_scores_folder_and_next_command(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    out, err = run(monkeypatch, capsys, "train", "--run-dir", folder)
    assert len(out) == 1 and out[0].startswith("loss ")
    assert err[-3].startswith("finished after step 10: 2 epochs; best loss ")
    assert err[-2:] == [
        f"run folder: {folder}", f"next: python -m experiments.{KIND} evaluate {folder}"
    ]  # fmt: skip
    assert run(monkeypatch, capsys, "evaluate", folder, "--quiet") == (out, [])


def test_a_quiet_training_prints_its_scores_alone(tmp_path, monkeypatch, capsys):
    out, err = run(monkeypatch, capsys, "train", "--run-dir", tmp_path / "run", "--quiet")
    assert len(out) == 1 and err == []
    session.train(Options(run_dir=tmp_path / "again", quiet=True), make_task, KIND)
    assert capsys.readouterr().err == "", "and in code"


@pytest.mark.parametrize("stop", [3, 5])
def test_a_task_of_a_loader_is_resumed_bit_for_bit(tmp_path, stop):
    options = Options(run_dir=tmp_path / "whole", quiet=True)
    whole = session.train(options, make_task, KIND).metrics

    def killed(updates: int, most: int | None) -> None:
        if updates == stop:
            raise KeyboardInterrupt

    options = replace(options, run_dir=tmp_path / "part", resume=True)
    with pytest.raises(KeyboardInterrupt):
        session.train(options, make_task, KIND, on_progress=killed)
    assert session.train(options, make_task, KIND).metrics == whole
