"""A run that is killed at any moment goes on as if it had never stopped: bit for bit."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from common.errors import UserError
from common.runs.run import Run
from common.training.schedules import constant, cosine, inverse_sqrt
from common.training.tracking import Tracker

TIMED = ("seconds", "speed", "memory")
TOY = Path(__file__).with_name("conftest.py")
UPDATES = 21  # of the toy training: 3 epochs of 7 batches


def everything(folder: Path) -> dict[str, Any]:
    """All that a run holds, but for the time that it took."""
    run = Run.open(folder)
    state = run.load_training_state()
    assert state is not None
    for name in ("seconds", "reported"):
        del state["progress"][name]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = [
        {name: value for name, value in line.items() if not name.startswith(TIMED)}
        for line in lines
    ]
    weights = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    return {"state": state, "lines": lines, "weights": weights}


def assert_same(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_same(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{number}]")
    elif isinstance(one, Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    runpy.run_path(str(TOY))["trainer"](folder).fit()
    return everything(folder)


def test_the_toy_training_depends_on_all_that_is_saved(uninterrupted):
    """Otherwise the tests below would prove little."""
    state, lines = uninterrupted["state"], uninterrupted["lines"]
    assert state["progress"]["step"] == UPDATES
    assert state["scheduler"]["last_epoch"] == UPDATES
    assert len([line for line in lines if "validation/loss" in line]) == 3
    assert any(line["step"] % 7 for line in lines if "train/loss" in line)


@pytest.mark.parametrize("updates", range(UPDATES))
def test_killed_after_any_update(tmp_path, toy, uninterrupted, updates):
    with pytest.raises(toy.Killed):
        toy.trainer(tmp_path / "run", killed_after=updates).fit()
    trainer = toy.trainer(tmp_path / "run")
    trainer.fit()
    assert_same(uninterrupted, everything(tmp_path / "run"))


def test_killed_again_and_again(tmp_path, toy, uninterrupted):
    for _ in range(
        UPDATES - 1
    ):  # each process gets one step further than the state it resumes from
        with pytest.raises(toy.Killed):
            toy.trainer(tmp_path / "run", killed_after=1, checkpoint_steps=1).fit()
    toy.trainer(tmp_path / "run").fit()
    assert_same(uninterrupted, everything(tmp_path / "run"))


@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4, 5, 9])
def test_disk_full_at_any_write(tmp_path, toy, uninterrupted, monkeypatch, writes):
    """The state that was there stays, and is enough to go on with."""
    trainer = toy.trainer(tmp_path / "run")
    left = writes

    def full(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.truncate(descriptor, 100)
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device") as error:
            trainer.fit()
    assert Path(error.value.filename).parent == tmp_path / "run"
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]
    toy.trainer(tmp_path / "run").fit()
    assert_same(uninterrupted, everything(tmp_path / "run"))


@pytest.mark.parametrize(
    "updates, number",
    [(1, signal.SIGINT), (6, signal.SIGINT), (10, signal.SIGTERM), (6, signal.SIGHUP)],
)
def test_ctrl_c_saves_first_and_says_how_to_go_on(tmp_path, toy, uninterrupted, updates, number):
    trainer = toy.trainer(tmp_path / "run", checkpoint_steps=None)
    loss = trainer.model.loss

    def interrupted(batch: Tensor):
        if trainer.progress.step == updates and trainer.model.training:
            signal.raise_signal(number)
            if number == signal.SIGHUP:  # both the shell and the kernel send it
                signal.raise_signal(number)
        return loss(batch)

    trainer.model.loss = interrupted
    with pytest.raises(KeyboardInterrupt, match=f"after step {updates + 1};.*--resume") as stop:
        trainer.fit()
    assert str(tmp_path / "run") in str(stop.value)
    assert Run.open(tmp_path / "run").load_training_state()["progress"]["step"] == updates + 1
    toy.trainer(tmp_path / "run").fit()
    assert_same(uninterrupted, everything(tmp_path / "run"))


@pytest.mark.parametrize("options", [{}, {"validate_every": 3}, {"validate_every": 7}])
def test_ctrl_c_within_a_validation_does_not_wait_for_it(tmp_path, toy, options):
    toy.trainer(tmp_path / "whole", **options).fit()
    for stopped in (1, 3):
        folder = tmp_path / f"run-{stopped}"
        trainer = toy.trainer(folder, **options)
        count = itertools.count(1)

        def interrupted(
            trainer=trainer, validate=trainer.selection.measure, stopped=stopped, count=count
        ):
            if next(count) == stopped:
                torch.rand(3)
                signal.raise_signal(signal.SIGINT)
                pytest.fail("the validation went on")
            return validate()

        trainer.selection.measure = interrupted
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            trainer.fit()
        toy.trainer(folder, **options).fit()
        assert_same(everything(tmp_path / "whole"), everything(folder))


def test_second_ctrl_c_stops_at_once(tmp_path, toy):
    trainer = toy.trainer(tmp_path / "run")

    def twice(batch: Tensor):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second did nothing")

    trainer.model.loss = twice
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert trainer.run.load_training_state()["progress"]["step"] == 0  # that of its start


def test_killed_for_real(tmp_path, toy, uninterrupted):
    """SIGKILL to another process, in the middle of an epoch."""
    folder = tmp_path / "run"
    script = f"""
import runpy, pathlib
toy = runpy.run_path({str(TOY)!r})
toy["trainer"](pathlib.Path({str(folder)!r})).fit()
"""
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen([sys.executable, "-c", script], cwd=root)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        lines = folder / "metrics.jsonl"
        if lines.exists() and lines.read_bytes().count(b"\n") >= 5:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    assert process.wait() == -signal.SIGKILL
    state = Run.open(folder).load_training_state()
    assert state is not None and 0 < state["progress"]["step"] < UPDATES
    toy.trainer(folder).fit()
    assert_same(uninterrupted, everything(folder))


def test_gradients_accumulated_and_validation_within_epochs(tmp_path, toy):
    options = {"accumulate": 2, "validate_every": 2, "checkpoint_steps": 1}
    toy.trainer(tmp_path / "whole", **options).fit()
    for updates in (4, 7, 18):
        folder = tmp_path / str(updates)
        with pytest.raises(toy.Killed):
            toy.trainer(folder, killed_after=updates, **options).fit()
        toy.trainer(folder, **options).fit()
        assert_same(everything(tmp_path / "whole"), everything(folder))


SCHEDULES = {
    "constant": constant(),
    "cosine": cosine(UPDATES, warmup_steps=4),
    "inverse square root": inverse_sqrt(warmup_steps=6),
    "plateau": "plateau",
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_learning_rates_go_on_where_they_were(tmp_path, toy, kind):
    options = {"schedule": SCHEDULES[kind], "validate_every": 2}
    if kind == "plateau":
        options["validate"] = lambda: {"accuracy": 0.5}
    whole = toy.trainer(tmp_path / "whole", **options)
    whole.fit()
    if kind != "constant":
        assert whole.optimizer.param_groups[0]["lr"] < 0.02
    for updates in (3, 10, 19):
        folder = tmp_path / str(updates)
        with pytest.raises(toy.Killed):
            toy.trainer(folder, killed_after=updates, **options).fit()
        toy.trainer(folder, **options).fit()
        assert_same(everything(tmp_path / "whole"), everything(folder))


def test_a_finished_run_can_be_trained_further(tmp_path, toy, uninterrupted):
    first = toy.trainer(tmp_path / "run", max_epochs=1).fit()
    assert first.finished == "1 epoch"
    toy.trainer(tmp_path / "run", max_epochs=3).fit()
    assert_same(uninterrupted, everything(tmp_path / "run"))
    before = everything(tmp_path / "run")
    again = toy.trainer(tmp_path / "run")
    again.fit()
    assert_same(before, everything(tmp_path / "run"))
    best = Run.open(tmp_path / "run")
    other = toy.Model()
    best.load_model(other)
    assert_same(dict(again.model.state_dict()), dict(other.state_dict()))


def test_lines_written_after_the_state_are_forgotten(tmp_path, toy, uninterrupted):
    with pytest.raises(toy.Killed):
        toy.trainer(tmp_path / "run", killed_after=11).fit()
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "half a li')
    toy.trainer(tmp_path / "run").fit()
    assert_same(uninterrupted, everything(tmp_path / "run"))


def test_tensorboard_shows_each_step_once(tmp_path, toy):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )

    def tracker() -> Tracker:
        return Tracker(tmp_path / "run", progress=False)

    for updates in (2, 5, 6):  # the first is killed before there is a state
        run = Run.create(tmp_path / "run", "toy", {}, resume=True)
        with tracker() as tracking, pytest.raises(toy.Killed):
            toy.trainer(run=run, tracker=tracking, killed_after=updates, checkpoint_steps=4).fit()
    run = Run.create(tmp_path / "run", "toy", {}, resume=True)
    with tracker() as tracking:
        toy.trainer(run=run, tracker=tracking).fit()
    events = event_accumulator.EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    steps = [event.step for event in events.Scalars("1 scores and loss/training loss")]
    assert steps == [2, 4, 6, 7, 8, 10, 12, 14, 16, 18, 20, 21]


def test_what_does_not_fit_is_refused(tmp_path, toy):
    folder = tmp_path / "run"
    with pytest.raises(toy.Killed):
        toy.trainer(folder, killed_after=5).fit()

    trainer = toy.trainer(folder)
    trainer.batches = lambda epoch: toy.batches(epoch).indices[:4]
    with pytest.raises(UserError, match="has 4 batches now, and had 7"):
        trainer.fit()

    trainer = toy.trainer(folder)
    trainer.model.dropout = torch.nn.BatchNorm1d(4)
    with pytest.raises(UserError, match="another architecture: it has no dropout.weight"):
        trainer.fit()

    trainer = toy.trainer(folder, average_decay=None)
    trainer.fit()  # no longer averaging is possible
    with pytest.raises(UserError, match=r"training.pt does not fit this training \('average'\)"):
        toy.trainer(folder).fit()

    (folder / "training.pt").write_bytes((folder / "training.pt").read_bytes()[:3000])
    with pytest.raises(UserError, match="training.pt is damaged"):
        toy.trainer(folder).fit()


@pytest.mark.parametrize(
    "place, wrong",
    [
        (("model",), [1]), (("model", "embedding.weight"), "x"), (("progress",), None),
        (("progress", "step"), "3"), (("progress", "reported"), -7),
        (("progress", "best_metrics"), {"loss": "x"}), (("progress", "seconds"), math.nan),
        (("scheduler", "last_epoch"), []), (("scheduler", "base_lrs"), []),
        (("optimizer", "param_groups"), []), (("optimizer", "state", 0), {}),
        (("optimizer", "state", 0, "exp_avg"), torch.zeros(3)),
        (("optimizer", "state", 0, "exp_avg"), [0.0]),
        (("optimizer", "state", 0, "step"), torch.zeros(7)),
        (("meter", "rows"), [["x"]]), (("average", "averages"), torch.zeros(2)),
        (("average", "updates"), None), (("generators",), 3), (("generators", 0, "python"), "x"),
        (("generators", 0, "torch"), torch.zeros(3)),
    ],
    ids=str,
)  # fmt: skip
def test_entries_of_other_types_are_refused_in_one_line(tmp_path, toy, place, wrong):
    folder = tmp_path / "run"
    with pytest.raises(toy.Killed):
        toy.trainer(folder, killed_after=5).fit()
    state = torch.load(folder / "training.pt", weights_only=True)
    inside = state
    for each in place[:-1]:
        inside = inside[each]
    assert place[-1] in inside if isinstance(inside, dict) else place[-1] < len(inside)
    inside[place[-1]] = wrong
    torch.save(state, folder / "training.pt")
    with pytest.raises(UserError, match=rf"\A{folder}/training.pt[^\n]*\Z"):
        toy.trainer(folder).fit()


def test_a_state_of_before_knows_the_size_of_its_lines_alone(tmp_path, toy, uninterrupted):
    with pytest.raises(toy.Killed):
        toy.trainer(tmp_path / "run", killed_after=11).fit()
    run = Run.open(tmp_path / "run")
    state = run.load_training_state()
    state["progress"]["reported"] = state["progress"]["reported"]["sizes"]["metrics.jsonl"]
    del state["progress"]["unmoved"]
    run.save_training_state(state)
    toy.trainer(tmp_path / "run").fit()
    assert_same(uninterrupted, everything(tmp_path / "run"))
