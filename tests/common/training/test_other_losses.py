"""Losses that are not of tokens: of points, with a named sum, and with none."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
import torch

from common.progress import Bar
from common.runs.run import Run
from common.training.tracking import Tracker
from common.training.validation import held_out
from tests.tolerances import rounding


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("named", [True, False])
def test_it_trains_and_reports_what_it_knows(tmp_path, toy, named):
    make = partial(toy.Forecaster, named)
    torch.manual_seed(0)
    before = held_out(make(), toy.series(99))
    run = Run.create(tmp_path / "run", "toy", {})
    with Tracker(run.path, progress=False) as tracker:
        trainer = toy.trainer(
            run=run, tracker=tracker, make=make, batches=toy.series, unit="points", max_epochs=20,
            monitor="loss", mode="min",
        )  # fmt: skip
        trainer.fit()
    after = held_out(trainer.model, toy.series(99))
    assert after["loss"] < 0.3 * before["loss"]
    assert after.keys() == {"loss", "mean_absolute_error"} if named else {"loss"}
    found = lines(tmp_path / "run")
    names = {name for line in found for name in line}
    training = {name for name in names if name.startswith("train/")}
    errors = {"train/mean_absolute_error"} if named else set()
    assert training == {"train/loss", "train/gradient_norm", "train/learning_rate"} | errors
    assert {"speed/points_per_second", "speed/examples_per_second"} <= names
    written = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    for path in (tmp_path / "run").glob("events.*"):
        written += path.read_bytes()
    for word in (b"perplexity", b"token", b"nll", b"correct"):
        assert word not in written
    assert "mean_absolute_error" in trainer.progress.best_metrics or not named


def test_the_bar_shows_the_loss_and_the_speed_in_its_unit(toy, monkeypatch):
    shown = []
    monkeypatch.setattr(Bar, "note", lambda self, text: shown.append(text))
    for unit, named in (("points", True), ("examples", False)):
        toy.trainer(
            make=partial(toy.Forecaster, named), batches=toy.series, max_steps=2, unit=unit
        ).fit()
    assert [re.sub("[0-9.,]+", "1", text) for text in shown] == [
        "loss 1 1 points/s", "loss 1 1 examples/s"
    ]  # fmt: skip


def test_what_is_reported_is_the_mean_over_all_points(tmp_path, toy):
    """Of seven batches of unlike size in one report, at weights that do not change."""
    folder = tmp_path / "run"
    trainer = toy.trainer(
        folder, make=toy.Forecaster, batches=toy.series, random=False, max_epochs=1, log_every=7,
        clip_norm=1e-30,
    )  # fmt: skip
    expected = held_out(trainer.model, toy.series(0))
    trainer.fit()
    line = lines(folder)[0]
    for name in ("loss", "mean_absolute_error"):
        assert line[f"train/{name}"] == pytest.approx(expected[name], rel=rounding(7 * 4 * 11 + 16))
    points = torch.cat([(lengths - 1).float() for _, lengths in toy.series(0)])
    absolute = expected["mean_absolute_error"] * points.sum().item()
    alone = [trainer.model.loss(batch).sums["mean_absolute_error"] for batch in toy.series(0)]
    assert absolute == pytest.approx(sum(alone).item(), rel=rounding(7 * 4 * 11 + 16))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("named", [True, False])
def test_it_goes_on_bit_for_bit(tmp_path, toy, named, accumulate):
    def trainer(folder: str, **options):
        return toy.trainer(
            tmp_path / folder, make=partial(toy.Forecaster, named), batches=toy.series,
            monitor="loss", mode="min", unit="points", accumulate=accumulate, **options,
        )  # fmt: skip

    whole = trainer("whole")
    whole.fit()
    for updates in (1, 9, 20):
        with pytest.raises(toy.Killed):
            trainer(str(updates), killed_after=updates).fit()
        resumed = trainer(str(updates))
        resumed.fit()
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, resumed.model.state_dict()[name]), name
        for one, other in zip(
            lines(tmp_path / "whole"), lines(tmp_path / str(updates)), strict=True
        ):
            for name in one:
                if name.startswith(("train/", "validation/")):
                    assert one[name] == other[name], name


def test_no_data_to_evaluate_on(toy):
    with pytest.raises(ValueError, match="no batch"):
        held_out(toy.Forecaster(), [])
