"""What a training of a captioner says at its end, what --quiet leaves out, and its log."""

from __future__ import annotations

from pathlib import Path

import pytest
import torchvision

from captioning.backbone import Backbone
from captioning.features import cached_features
from captioning.train import evaluate_run
from captioning.transform import ImageTransform
from common import progress
from common.errors import UserError
from common.progress import quietly
from common.synthetic.scenes import write_scenes
from tests.captioning.pictures import saved, scene
from tests.commands import run_here

SMALL = [
    "--encoder", "small", "--weights", "none", "--image-size", 16, "--memory-size", 0,
    "--vector-size", 0,
    "--embedding-size", 8, "--hidden-size", 8, "--cell", "gru", "--min-count", 1, "--epochs", 1,
    "--max-length", 4, "--beam-size", 1,
]  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, train=8, val=3, held_out=2, size=16)
    return folder


def test_the_end_names_scores_folder_and_next_command_and_quiet_the_scores(scenes, tmp_path):
    run = tmp_path / "run"
    done = run_here("captioning", "train", "--data", scenes, "--run-dir", run, *SMALL)
    assert done.returncode == 0, done.stderr
    finished, folder, then = done.stderr.splitlines()[-3:]
    assert finished.startswith("finished after step 1: 1 epoch; best cider_d ")
    assert finished.endswith(" at epoch 1, step 1") and folder == f"run folder: {run}"
    assert then == f"next: python -m captioning caption {run} PICTURE"
    assert {"loss", "bleu4", "cider_d"} <= {line.split()[0] for line in done.stdout.splitlines()}
    assert max(len(line) for line in done.stderr.splitlines() if "validation:" in line) <= 100

    again = ["--data", scenes, "--run-dir", run, "--overwrite", "--quiet"]
    quiet = run_here("captioning", "train", *again, *SMALL)
    assert quiet.returncode == 0 and "cider_d" in quiet.stdout
    shown = quiet.stderr.splitlines()
    assert [
        line
        for line in shown
        if not line.startswith(("note", "3 validation images", "8 training images"))
    ] == []
    again = run_here("captioning", "evaluate", run, "--quiet")
    assert "cider_d" in again.stdout and again.stderr == ""


def test_features_and_captions_write_no_carriage_return_into_a_log(
    resnet, scenes, tmp_path, monkeypatch, capsys
):
    """Whose lines come now and then: here, as if every batch took long."""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "THEN", 0.0)
    paths = [saved(tmp_path / f"{n}.png", scene()) for n in range(6)]
    cached_features(tmp_path / "cache", paths, resnet, ImageTransform(32), batch_size=2)
    shown = capsys.readouterr().err
    assert "\r" not in shown and "features of resnet18: 2 of 6 images (33%)" in shown
    assert "features of resnet18: 6 images in" in shown
    with quietly():
        other = ImageTransform(33)
        folder, _ = cached_features(tmp_path / "cache", paths, resnet, other, batch_size=2)
    assert capsys.readouterr().err == "" and len(folder.names) == 6
    run = tmp_path / "run"
    run_here("captioning", "train", "--data", scenes, "--run-dir", run, *SMALL, "--quiet")
    evaluate_run(run, device="cpu", batch_size=1)
    shown = capsys.readouterr().err
    assert "\r" not in shown and "captions: 2 of 3 images (67%)" in shown


def test_a_download_draws_no_bar_into_a_log(monkeypatch):
    seen = {}

    def get_model(name: str, **how: object) -> None:
        seen.update(how)
        raise OSError("offline")

    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    with pytest.raises(UserError, match="could not be loaded .offline"):
        Backbone("resnet18", weights="imagenet")
    assert seen["progress"] is False
