"""Clips, by the command line, on the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.commands import command, options

MODULE = "experiments.video"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_clips(device, tmp_path: Path, capsys, precision):
    run = tmp_path / "run"
    sizes = {"run_dir": run, "hidden_size": 8, "clips": 12, "size": 16, "batch_size": 6}
    train = options(device=device, precision=precision, **sizes)
    command(MODULE, "train", train, "--epochs 1 --schedule constant")
    command(MODULE, "train", train, "--epochs 2 --schedule constant --resume")
    assert "resuming after step" in capsys.readouterr().err
    for where in (device, "cpu"):  # a run is of no device
        command(MODULE, "evaluate", run, f"--device {where}")
        assert "action_shuffled" in capsys.readouterr().out
    assert (run / "captions-val.tsv").read_text().startswith("a ")
