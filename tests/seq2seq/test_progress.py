"""What a training says at its end, and what --quiet leaves out: as the captioner's, in the twin."""

from __future__ import annotations

import json
import os

from common.config.changes import may_change
from common.progress import quietly
from common.runs import Run
from seq2seq.train import evaluate_run
from tests.commands import run_here
from tests.seq2seq.tiny import tiny_options


def train(run, folder, *more):
    return run_here(
        "seq2seq",
        "train",
        "--config",
        run / "config.json",
        "--run-dir",
        folder,
        "--epochs",
        1,
        *more,
    )


def test_the_end_names_scores_folder_and_next_command(run, tmp_path):
    done = train(run, tmp_path / "my run")
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-3:]
    assert last[0].startswith("finished after step 19: 1 epoch; best bleu ")
    assert last[0].endswith(" at epoch 1, step 19")
    assert last[1:] == [
        f"run folder: '{tmp_path}/my run'",
        f"next: python -m seq2seq translate '{tmp_path}/my run' FILE",
    ]
    assert done.stdout.splitlines()[0].startswith("loss ")
    assert any(line.startswith("bleu ") and "nrefs:1" in line for line in done.stdout.splitlines())


def test_a_quiet_training_prints_its_scores_alone(run, tmp_path):
    done = train(run, tmp_path / "run", "--quiet")
    assert done.returncode == 0 and "bleu" in done.stdout
    shown = done.stderr.splitlines()  # only what a user should know of the data
    assert not [
        line for line in shown if "epoch" in line or "vocabulary" in line or "next:" in line
    ]
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert "quiet" not in config, "it is of one call"
    again = train(run, tmp_path / "run", "--resume")
    assert again.returncode == 0 and "resuming after step 19" in again.stderr


def test_quiet_is_of_a_call_and_no_setting(run, tmp_path):
    options = tiny_options(tmp_path, tmp_path / "run", quiet=True)
    assert "quiet" in may_change(options)
    assert "quiet" not in Run.create(tmp_path / "run", "translator", options).config
    logged = b"".join(path.read_bytes() for path in run.rglob("events.out.tfevents.*"))
    assert b"quiet" not in logged, "nor one that TensorBoard compares"


def test_a_quiet_evaluation_prints_its_scores_alone(run, tmp_path, capsys):
    done = run_here("seq2seq", "evaluate", run, "--quiet")
    assert done.returncode == 0 and "bleu" in done.stdout
    assert all(line.startswith("note: ") for line in done.stderr.splitlines())
    with quietly():
        evaluate_run(run, device="cpu")
    assert capsys.readouterr().err == done.stderr


def test_a_home_folder_on_the_command_line(run, tmp_path, monkeypatch):
    """--data=~/x, which the shell leaves as it is."""
    data = os.path.dirname(json.loads((run / "config.json").read_text())["config"]["data"])
    monkeypatch.setenv("HOME", data)
    done = train(run, tmp_path / "run", "--data=~/numbers", "--quiet")
    assert done.returncode == 0, done.stderr
    assert Run.open(tmp_path / "run").config["data"] == os.path.join(data, "numbers")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = run_here("seq2seq", "train", "--config=~/run/config.json", "--run-dir=~/again", "--quiet",
                    "--epochs", 1)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "model.safetensors").is_file()
    done = run_here(
        "seq2seq", "evaluate", "~/again", f"--data={data}/numbers", "--ensemble", "~/run"
    )
    assert done.returncode == 0, done.stderr
