"""A task of neither captions nor translations, by its command line, on the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.commands import command, options

MODULE = "experiments.part_of_speech"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_tagger(device, tmp_path: Path, capsys, precision):
    run = tmp_path / "run"
    sizes = {"run_dir": run, "hidden_size": 16, "batch_size": 4, "patience": 0}
    train = options(device=device, precision=precision, **sizes)
    command(MODULE, "train", train, "--epochs 1")
    command(MODULE, "train", train, "--epochs 2 --resume")
    assert "resuming after step" in capsys.readouterr().err
    for where in (device, "cpu"):  # a run is of no device
        command(MODULE, "evaluate", run, f"--device {where}")
        assert "accuracy" in capsys.readouterr().out
    assert (run / "tagged-val.tsv").read_text().startswith("I\t")
