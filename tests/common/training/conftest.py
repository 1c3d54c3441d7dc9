"""A toy training that uses everything a training can depend on."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.data.batching import Batches, bucketed_batches, pad_sequences
from common.models.tokens import token_loss
from common.runs.run import Run
from common.training.loss import Loss
from common.training.schedules import Plateau
from common.training.tracking import Tracker
from common.training.trainer import Trainer

VOCABULARY = 12
SENTENCES = [
    [1 + (start + i) % (VOCABULARY - 1) for i in range(length)]
    for start in range(8)
    for length in (3, 4, 5, 6, 9)
]


class Killed(BaseException):
    """Stands for the death of the process: nothing in the code catches it."""


class ToyModel(nn.Module):
    """A small language model with dropout, a buffer that training changes, and tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.recurrent = nn.GRU(8, 8, batch_first=True)
        self.normalization = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(8, VOCABULARY)
        self.output.weight = self.embedding.weight
        self.updates_until_killed = -1

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.recurrent(self.embedding(tokens))[0]  # (B, T, 8)
        return self.output(self.dropout(self.normalization(hidden.transpose(1, 2)).transpose(1, 2)))

    def loss(self, batch: Tensor) -> Loss:
        if self.training:
            if self.updates_until_killed == 0:
                raise Killed
            self.updates_until_killed -= 1
        return token_loss(self(batch[:, :-1]), batch[:, 1:], pad=0)


def collate(rows: np.ndarray) -> Tensor:
    """Pads, and replaces some tokens at random by each of the three random generators."""
    batch = pad_sequences([SENTENCES[row] for row in rows])
    batch[0, 0] = random.randrange(1, VOCABULARY)
    batch[0, 1] = int(np.random.randint(1, VOCABULARY))
    batch[0, 2] = int(torch.randint(1, VOCABULARY, ()))
    return batch


def batches(epoch: int) -> Batches[Tensor]:
    lengths = [len(sentence) for sentence in SENTENCES]
    return Batches(bucketed_batches(lengths, 6, seed=3, epoch=epoch), collate)


def plain_batches(epoch: int) -> list[Tensor]:
    """The same without noise."""
    return [pad_sequences([SENTENCES[row] for row in rows]) for rows in batches(epoch).indices]


def trainer(
    folder: Path | None = None, *, killed_after: int = -1, random: bool = True, **options: Any
) -> Trainer:
    """A trainer as a process would build it: from nothing, or on what the folder holds.

    Without randomness, updates are linear in the gradients, too: what differs by rounding goes on
    to differ by rounding. (AdamW makes a whole step of the sign of a gradient that is nearly zero.)
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ToyModel()
    model.updates_until_killed = killed_after
    if not random:
        model.dropout.p = 0.0

    def validate() -> dict[str, float]:
        torch.rand(7), np.random.rand()  # must not disturb the training
        loss = model.loss(pad_sequences(SENTENCES))
        return {"loss": loss.value.item(), "accuracy": (loss.sums["correct"] / loss.count).item()}

    options = {
        "validate": validate,
        "monitor": "accuracy",
        "max_epochs": 3,
        "clip_norm": 0.5,
        "average_decay": 0.9,
        "schedule": Plateau(patience=0, warmup_steps=4),
        "log_every": 2,
        "checkpoint_steps": 3,
        **options,
    }
    if random:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    if folder is not None and "run" not in options:
        options["run"] = Run.create(folder, "toy", {}, resume=True)
        options.setdefault("tracker", Tracker(folder, tensorboard=False, progress=False))
    return Trainer(model, optimizer, batches if random else plain_batches, **options)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    """No test here outlives a loss of power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def toy() -> SimpleNamespace:
    return SimpleNamespace(
        Killed=Killed, Model=ToyModel, trainer=trainer, batches=batches, sentences=SENTENCES
    )
