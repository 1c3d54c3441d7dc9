"""Toy trainings that use everything a training can depend on: of tokens, and of series."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from common.data.batching import Batches, bucketed_batches, pad_sequences
from common.models.tokens import token_loss
from common.runs.run import Run
from common.training.loss import Loss
from common.training.schedules import constant
from common.training.tracking import Tracker
from common.training.trainer import Trainer
from common.training.validation import held_out

VOCABULARY = 12
SENTENCES = [
    [1 + (start + i) % (VOCABULARY - 1) for i in range(length)]
    for start in range(8)
    for length in (3, 4, 5, 6, 9)
]


class Killed(BaseException):
    """Stands for the death of the process: nothing in the code catches it."""


class Mortal(nn.Module):
    """A model with dropout that is killed after so many updates; never if that is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.updates_until_killed = -1

    def live(self) -> None:
        if self.training:
            if self.updates_until_killed == 0:
                raise Killed
            self.updates_until_killed -= 1


class ToyModel(Mortal):
    """A small language model with dropout, a buffer that training changes, and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.recurrent = nn.GRU(8, 8, batch_first=True)
        self.normalization = nn.BatchNorm1d(8)
        self.output = nn.Linear(8, VOCABULARY)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.recurrent(self.embedding(tokens))[0]  # (B, T, 8)
        return self.output(self.dropout(self.normalization(hidden.transpose(1, 2)).transpose(1, 2)))

    def loss(self, batch: Tensor) -> Loss:
        self.live()
        return token_loss(self(batch[:, :-1]), batch[:, 1:], pad=0)


class ToyForecaster(Mortal):
    """Predicts series one step ahead. Its loss is a mean over points, and knows no token.

    Args:
        named: whether the loss has a named sum, of absolute errors.
    """

    def __init__(self, named: bool = True) -> None:
        super().__init__()
        self.recurrent = nn.GRU(1, 8, batch_first=True)
        self.output = nn.Linear(8, 1)
        self.named = named

    def loss(self, batch: tuple[Tensor, Tensor]) -> Loss:
        """batch: values (B, T); lengths (B,)."""
        self.live()
        values, lengths = batch
        hidden = self.dropout(self.recurrent(values[:, :-1, None])[0])  # (B, T - 1, 8)
        errors = self.output(hidden).squeeze(2) - values[:, 1:]
        real = torch.arange(1, values.shape[1]) < lengths[:, None]
        count = real.sum()
        absolute = {"mean_absolute_error": errors.detach().abs().where(real, 0.0).sum()}
        value = errors.square().where(real, 0.0).sum() / count
        return Loss(value, count, absolute if self.named else {})


def series(epoch: int) -> list[tuple[Tensor, Tensor]]:
    """Seven batches of unlike size, of waves of unlike length."""
    made = []
    for number in range(7):
        generator = torch.Generator().manual_seed(100 * epoch + number)
        lengths = torch.randint(3, 12, (2 + number % 3,), generator=generator)
        phases = torch.rand(len(lengths), 1, generator=generator)
        made.append((torch.sin(torch.arange(12) / 2 + 6 * phases), lengths))
    return made


def collate(rows: np.ndarray) -> Tensor:
    """Pads, and replaces some tokens at random by each of the three random generators."""
    batch = pad_sequences([SENTENCES[row] for row in rows])
    batch[0, 0] = random.randrange(1, VOCABULARY)
    batch[0, 1] = int(np.random.randint(1, VOCABULARY))
    batch[0, 2] = int(torch.randint(1, VOCABULARY, ()))
    return batch


def noisy_batches(epoch: int) -> Batches[Tensor]:
    lengths = [len(sentence) for sentence in SENTENCES]
    return Batches(bucketed_batches(lengths, 6, seed=3, epoch=epoch), collate)


def plain_batches(epoch: int) -> list[Tensor]:
    """The same without noise."""
    return [
        pad_sequences([SENTENCES[row] for row in rows]) for rows in noisy_batches(epoch).indices
    ]


def trainer(
    folder: Path | None = None,
    *,
    make: Callable[[], Mortal] = ToyModel,
    batches: Callable[[int], Sequence[Any]] | None = None,
    killed_after: int = -1,
    random: bool = True,
    **options: Any,
) -> Trainer:
    """A trainer as a process would build it: from nothing, or on what the folder holds.

    Without randomness, updates are linear in the gradients, too: what differs by rounding goes on
    to differ by rounding. (AdamW makes a whole step of the sign of a gradient that is nearly zero.)
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = make()
    model.updates_until_killed = killed_after
    if not random:
        model.dropout.p = 0.0

    def validate() -> dict[str, float]:
        torch.rand(7), np.random.rand()  # must not disturb the training
        if make is not ToyModel:
            return {**(found := held_out(model, series(99))), "accuracy": -found["loss"]}
        loss = model.loss(pad_sequences(SENTENCES))
        return {"loss": loss.value.item(), "accuracy": (loss.sums["correct"] / loss.count).item()}

    options = {
        "validate": validate,
        "monitor": "accuracy",
        "max_epochs": 3,
        "clip_norm": 0.5,
        "average_decay": 0.9,
        "log_every": 2,
        "checkpoint_steps": 3,
        **options,
    }
    if random:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    schedule = options.pop("schedule", constant(warmup_steps=4))
    if schedule == "plateau":
        options["scheduler"] = ReduceLROnPlateau(
            optimizer, "max", factor=0.5, patience=0, threshold=0.0
        )
    else:
        options["scheduler"] = LambdaLR(optimizer, schedule)
    if folder is not None and "run" not in options:
        options["run"] = Run.create(folder, "toy", {}, resume=True)
        options.setdefault("tracker", Tracker(folder, tensorboard=False, progress=False))
    if batches is None:
        batches = noisy_batches if random else plain_batches
    return Trainer(model, optimizer, batches, **options)


@pytest.fixture(autouse=True)
def _as_in_a_terminal():
    """The tests may have been started by nohup, whose children ignore a closed terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    """No test here outlives a loss of power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def toy() -> SimpleNamespace:
    return SimpleNamespace(
        Killed=Killed,
        Model=ToyModel,
        Forecaster=ToyForecaster,
        series=series,
        trainer=trainer,
        batches=noisy_batches,
        sentences=SENTENCES,
    )
