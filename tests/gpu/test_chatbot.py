"""A chatbot, by its command line, on the GPU."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.gpu.commands import command, options

MODULE = "experiments.chatbot"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_chatbot(device, tmp_path: Path, capsys, monkeypatch, precision):
    run = tmp_path / "run"
    train = options(device=device, precision=precision, run_dir=run, hidden_size=16)
    command(MODULE, "train", train, "--epochs 1 --schedule constant")
    command(MODULE, "train", train, "--epochs 2 --schedule constant --resume")
    assert "resuming after step" in capsys.readouterr().err
    for where in (device, "cpu"):  # a run is of no device
        command(MODULE, "evaluate", run, f"--device {where}")
        assert "distinct_2_nearest" in capsys.readouterr().out
        monkeypatch.setattr("sys.stdin", io.StringIO("where is france?\n"))
        command(MODULE, "talk", run, f"--device {where}")
        assert capsys.readouterr().out.endswith("\n")
    assert len((run / "answers-val.tsv").read_text().split("\n")) == 21
