"""A language model, by its command line, on the GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.commands import command, options

MODULE = "experiments.language_model"


@pytest.mark.parametrize(
    "reading, more", [("stream", "--num-layers 2"), ("lines", "--unit words --locked")]
)
def test_a_language_model(device, tmp_path: Path, capsys, reading, more):
    text, run = tmp_path / "text.txt", tmp_path / "run"
    text.write_text("to be, or not to be\n" * 20)
    sizes = {"run_dir": run, "hidden_size": 16, "embedding_size": 8, "batch_size": 4, "steps": 8}
    how = {"cell": "gru", "data": text, "reading": reading, "input_dropout": 0.1}
    train = options(device=device, precision="fp32", **sizes, **how)
    command(MODULE, "train", train, more, "--token-dropout 0.1 --tie-embeddings --epochs 1")
    command(
        MODULE, "train", train, more, "--token-dropout 0.1 --tie-embeddings --epochs 2 --resume"
    )
    assert "resuming after step" in capsys.readouterr().err
    for where in (device, "cpu"):  # a run is of no device
        command(MODULE, "evaluate", run, f"--device {where}")
        assert "perplexity" in capsys.readouterr().out
        command(MODULE, "write", run, f"--device {where} --prefix to --max-length 5 --top-p 0.9")
        assert capsys.readouterr().out.startswith("to")


def test_hello(device, tmp_path: Path, capsys):
    command("experiments.hello", "train", options(run_dir=tmp_path / "run", device=device))
    assert "accuracy              1.0000" in capsys.readouterr().out
