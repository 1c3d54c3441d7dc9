"""Clips are learnt, resumed and evaluated, made ones and those of a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.training import session
from common.training.options import TrainingOptions
from common.training.task import Evaluation
from experiments.video import Options, make_task
from tests.commands import run_module
from tests.experiments.runs import assert_same_weights

KIND = "video"
JUDGED = [
    f"{what}{view}"
    for what in ("action", "events", "caption")
    for view in ("", "_shuffled", "_frame")
]


def train(folder: Path, epochs: int = 1, **changes) -> Evaluation:
    training = TrainingOptions(
        epochs=epochs, batch_size=5, learning_rate=0.01, device="cpu", precision="fp32",
        patience=0, threads=1,
    )  # fmt: skip
    options = Options(run_dir=folder, clips=20, size=16, hidden_size=8, training=training)
    return session.train(replace(options, **changes), make_task, KIND)


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    train(tmp_path / "whole", 2)
    train(tmp_path / "part")
    train(tmp_path / "part", 2, resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "part")


@pytest.mark.numerical
def test_a_folder_of_clips_is_learnt(tmp_path):
    data = tmp_path / "clips"
    for name in ("falls", "rises"):
        for number in range(12):
            where = data / name / str(number)
            where.mkdir(parents=True)
            for at in range(3 + number % 2):
                pixels = np.full((16, 16, 3), 60, np.uint8)
                row = 4 * at if name == "falls" else 12 - 4 * at
                pixels[row : row + 4] = 220
                Image.fromarray(pixels).save(where / f"{at}.png")
    metrics = train(tmp_path / "run", 8, data=data).metrics
    assert {*JUDGED, "mean"} == set(metrics)
    assert metrics["action"] == metrics["events"] == 1.0
    assert (tmp_path / "run" / "frames-val.png").stat().st_size > 1000
    assert (tmp_path / "run" / "captions-val.tsv").read_text().startswith("falls\t")
    again = session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    assert again.metrics == pytest.approx(metrics)


def test_its_help():
    shown = run_module("experiments.video", "train", "--help")
    assert shown.returncode == 0 and "DIR/CLASS/CLIP/FRAME.png" in shown.stdout
