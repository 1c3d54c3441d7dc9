"""What a training shows while it runs: its bars, its lines in a log, and the time that is left."""

from __future__ import annotations

import re

import pytest

from common import progress as shown
from common.progress import quietly
from common.training import Tracker
from common.training.display import Display
from common.training.progress import Limits, Progress
from tests.common.test_progress import Clock, on_a_terminal

TOY = """
import time
import torch
from torch import nn
from common.progress import Bar
from common.training import Loss, Tracker, Trainer

class Toy(nn.Linear):
    def loss(self, batch):
        time.sleep(0.005)
        return Loss(self(batch).square().mean(), torch.tensor(8.0))

def validate():
    with Bar("captions", 4, "images") as bar:
        for _ in range(4):
            time.sleep(0.05)
            bar.advance()
    named = ["loss", "perplexity", "token_accuracy", "bleu1", "bleu2", "bleu3", "bleu4", "cider_d"]
    return {name: 0.123456 for name in named}

torch.manual_seed(0)
model = Toy(4, 1)
with Tracker() as tracker:
    Trainer(
        model, torch.optim.SGD(model.parameters(), lr=1e-4), [torch.ones(8, 4)] * 40,
        validate=validate, monitor="cider_d", patience=9, max_epochs=3, log_every=10, tracker=tracker,
    ).fit()
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(shown, "time", clock)
    monkeypatch.setattr("common.training.display.time", clock)
    return clock


def display(progress: Progress, newest=lambda: None, **limits) -> Display:
    named = {"epochs": 4, "monitor": "bleu"} | limits
    return Display(progress, Limits(**named), "tokens", newest)


@pytest.fixture(scope="module")
def written() -> list[str]:
    """What a training writes to a terminal of 80 columns, line by line."""
    return re.split(r"[\r\n]+|\x1b\[A", on_a_terminal(TOY, 80))


def test_a_terminal_shows_the_whole_training_and_its_epoch(written):
    assert max(map(len, written)) <= 80
    whole = [part for part in written if part.startswith("training ")]
    assert any(re.search(r"at most about|at most \d+ s left", part) for part in whole)
    assert any("left and validations" in part for part in whole), "the first is not known yet"
    assert re.search(r"left *$", whole[-1]), "and then it is"
    epochs = [part for part in written if part.startswith("epoch 2 of 3")]
    assert any("/40 batches, loss " in part and "examples/s" in part for part in epochs)


def test_a_validation_is_one_line_that_fits_with_the_monitored_metric_first(written):
    lines = [line for line in written if "validation:" in line]
    assert len(lines) == 3 and max(map(len, lines)) <= 80
    assert all("validation:  cider_d 0.1235  loss 0.1235" in line for line in lines)
    assert "(best)" in lines[0] and "(best)" not in lines[1]


def test_a_log_gets_a_line_every_half_a_minute(clock, capsys):
    progress = Progress(epoch_batches=100)
    watched = display(progress, lambda: (2.5, 1234.0), patience=3)
    watched.begin_epoch()
    for _ in range(90):
        clock.now += 1
        progress.step, progress.batch, progress.seconds = (
            progress.step + 1,
            progress.batch + 1,
            clock.now,
        )
        watched.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "epoch 1 of 4  step 10  loss 2.5, 1,234 tokens/s  2%, at most 6 min 30 s left and validations"
    )
    assert len(lines) == 3 and all(len(line) <= 100 for line in lines)


def test_a_validation_counts_for_those_to_come(clock):
    progress = Progress(epoch_batches=100)
    watched = display(progress)
    watched.begin_epoch()
    progress.step, progress.seconds = 100, 100.0
    assert watched.left() == "about 5 min left and validations"
    with watched.validating():
        clock.now += 60
    progress.seconds += 60
    assert watched.left() == "about 8 min left"  # three epochs of 100 s, three validations of 60 s


def test_the_time_limit_counts_where_it_comes_first(clock):
    progress = Progress(epoch_batches=100)
    watched = display(progress, minutes=2.0)
    watched.begin_epoch()
    progress.step, progress.seconds = 100, 90.0
    assert watched.left().startswith("about 30 s left")
    assert watched.limits.fraction(progress, 100) == 0.75
    progress.seconds = 3.0
    assert (
        watched.left().startswith("about 10 s left")
        and watched.limits.fraction(progress, 100) == 0.25
    )


def test_a_resumed_training_is_timed_from_where_it_went_on(clock):
    progress = Progress(epoch=2, step=200, seconds=5000.0, epoch_batches=100)
    watched = display(progress)
    watched.begin_epoch()
    progress.step, progress.seconds = 250, 5050.0
    assert watched.left() == "about 2 min 30 s left and validations"


def test_a_training_that_only_patience_ends_does_not_say_when(clock, capsys):
    progress = Progress(epoch_batches=10)
    watched = display(progress, epochs=None, patience=2)
    watched.begin_epoch()
    clock.now, progress.step = 20.0, 7
    watched.advance(7)
    assert watched.left() == "" and capsys.readouterr().err == "epoch 1  step 7\n"


def test_the_end_names_the_best_epoch(toy, capsys):
    trained = toy.trainer(None, max_epochs=2, tracker=Tracker())
    progress = trained.fit()
    last = capsys.readouterr().err.splitlines()[-1]
    best = progress.best_metrics["accuracy"]
    assert progress.best_epoch == -(-progress.best_step // (progress.step // 2))
    assert last == (
        f"finished after step {progress.step}: 2 epochs; best accuracy {best:.4g} at epoch "
        f"{progress.best_epoch}, step {progress.best_step}"
    )


def test_a_quiet_training_prints_nothing(toy, capsys):
    with quietly():
        toy.trainer(None, max_epochs=1, tracker=Tracker()).fit()
    assert capsys.readouterr().err == ""
