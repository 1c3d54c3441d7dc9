"""Batches of any kind, and losses that are tensors: a DataLoader resumes bit for bit, too."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from common.training import Loss, Trainer, TrainingOptions, held_out
from common.training.epochs import LoaderBatches, batches_of

DATA = TensorDataset(torch.arange(20.0)[:, None], torch.arange(20.0).sin()[:, None])


class Regression(nn.Module):
    """Its loss is a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.dropout = nn.Dropout(0.3)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        return nn.functional.mse_loss(self.linear(self.dropout(inputs / 20)), targets)


class Jittered(Dataset):
    """Draws from the three global random generators."""

    def __len__(self) -> int:
        return 17

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        noise = random.random() + np.random.rand() + torch.rand(1)
        return row + noise, noise


class Stream(IterableDataset):
    def __iter__(self):
        return iter([1])


LOADERS = {
    "shuffled": lambda: DataLoader(Jittered(), batch_size=3, shuffle=True),
    "in order, the last left out": lambda: DataLoader(DATA, batch_size=6, drop_last=True),
    "a generator of its own": lambda: DataLoader(
        DATA, batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(7)
    ),
    "weighted": lambda: DataLoader(DATA, 4, sampler=WeightedRandomSampler([1.0] * 19 + [9.0], 15)),
    "a batch sampler": lambda: DataLoader(
        DATA, batch_sampler=BatchSampler(RandomSampler(DATA), 5, False)
    ),
    "items that are batches": lambda: DataLoader(DATA, batch_size=None, shuffle=True),
    "with processes": lambda: DataLoader(DATA, batch_size=4, shuffle=True, num_workers=1),
}


def trained(toy, folder, loader, stop: int | None = None) -> Tensor:
    """The weights after three epochs, or until it is killed after so many updates."""
    random.seed(stop), np.random.seed(stop)  # of another process, whose generators differ
    run = toy.trainer(folder, batches=lambda epoch: []).run
    torch.manual_seed(1)
    model = Regression()

    def killed(updates: int, most: int | None) -> None:
        if updates == stop:
            raise toy.Killed

    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    trainer = Trainer(model, optimizer, loader, max_epochs=3, run=run, checkpoint_steps=1,
                      on_progress=killed if stop else None)  # fmt: skip
    trainer.fit()
    return torch.cat([each.flatten() for each in model.parameters()]).detach()


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_resumes_in_the_middle_of_an_epoch_bit_for_bit(name, toy, tmp_path):
    whole = trained(toy, tmp_path / "whole", LOADERS[name]())
    with pytest.raises(toy.Killed):
        trained(toy, tmp_path / "part", LOADERS[name](), stop=4)
    torch.rand(5)
    assert torch.equal(trained(toy, tmp_path / "part", LOADERS[name]()), whole)


@pytest.mark.parametrize("name", LOADERS)
def test_the_batches_of_a_loader_are_those_that_it_makes(name):
    loader = LOADERS[name]()
    found, again = LoaderBatches(loader, epoch=1), LoaderBatches(loader, epoch=1)
    assert len(found) == len(loader) and found.rows == again.rows
    one, theirs = found[0], next(iter(loader))
    assert [part.shape for part in one] == [part.shape for part in theirs]
    rows = torch.cat([batch[0].flatten().floor() for batch in found]).tolist()
    if name in ("in order, the last left out", "a batch sampler"):
        assert len(set(rows)) == len(rows)
    if "order" not in name:
        assert LoaderBatches(loader, epoch=2).rows != found.rows
        assert LoaderBatches(loader, epoch=1, seed=1).rows != found.rows


def test_asking_a_loader_for_its_order_draws_no_random_number():
    own = torch.Generator().manual_seed(3)
    loader = DataLoader(DATA, batch_size=3, shuffle=True, generator=own)
    before = torch.get_rng_state(), own.get_state(), random.getstate(), np.random.get_state()[1]
    LoaderBatches(loader, 5)
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.equal(own.get_state(), before[1])
    assert random.getstate() == before[2] and np.array_equal(np.random.get_state()[1], before[3])


def test_what_cannot_be_entered_anywhere_is_refused_in_one_line():
    model = Regression()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    for batches in (
        DataLoader(Stream()),
        lambda epoch: iter([1]),
        lambda epoch: DataLoader(Stream()),
    ):
        with pytest.raises(TypeError, match=r"\A.*(Dataset|DataLoader).*\Z"):
            Trainer(model, sgd, batches, max_epochs=1).fit()


def test_a_list_of_batches_serves_every_epoch():
    model = Regression()
    batches = list(DataLoader(DATA, batch_size=5))
    assert batches_of(batches, 3) is batches
    progress = Trainer(
        model, torch.optim.SGD(model.parameters(), lr=0.1), batches, max_epochs=2
    ).fit()
    assert progress.step == 8
    options = TrainingOptions(epochs=2, patience=0, precision="fp32", device="cpu")
    trainer = options.make_trainer(model, torch.optim.SGD(model.parameters(), lr=0.1), batches)
    assert trainer.fit().step == 8


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_a_tensor_is_the_mean_over_the_examples(accumulate):
    """Batches of unlike size count by their examples, where several make an update and in evaluation."""
    loader = DataLoader(DATA, batch_size=8)  # 8, 8, 4
    model = Regression().eval()
    inputs, targets = DATA.tensors
    whole = nn.functional.mse_loss(model.linear(inputs / 20), targets).item()
    assert held_out(model, loader) == {"loss": pytest.approx(whole)}
    model.dropout.p = 0.0
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    trainer = Trainer(model, sgd, loader, max_epochs=1, accumulate=accumulate, log_every=9)
    seen = trainer.reports.display.figures = lambda loss, speed: losses.append(loss)
    losses: list[float] = []
    trainer.fit()
    assert seen and losses == [pytest.approx(whole)]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda batch: torch.ones(4), r"one number to minimise, as loss.mean\(\).*shape \(4,\)"),
        (lambda batch: 1.0, "a scalar tensor, or a Loss.*not a float"),
        (lambda batch: (torch.tensor(1.0), {}), "not a tuple"),
        (None, r"Linear.loss is missing: give the model a method loss\(batch\)"),
    ],
)
def test_what_is_no_loss_is_refused_in_one_line(loss, message):
    model = nn.Linear(1, 1)
    if loss is not None:
        model.loss = loss
    trainer = Trainer(
        model, torch.optim.SGD(model.parameters(), lr=0.1), [DATA.tensors], max_epochs=1
    )
    with pytest.raises(TypeError, match=message) as caught:
        trainer.fit()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("room", "names"),
    [
        ("training", "Trainer Tracker Task Loss Evaluation RunOptions TrainingOptions Progress session "
                     "train evaluate held_out predictions LoaderBatches mean_of_sums"),
        ("decoding", "BeamSearch Greedy Sampling Search RecurrentDecoder Context Hypothesis Constraint "
                     "Forbidden MinimumLength NoRepeatedNgrams ScheduledSampling Attention"),
        ("recurrent", "Recurrent Cell LSTMCell GRUCell detached"),
        ("models", "EncoderDecoder EnsembleModel LanguageModel SequenceTagger SequenceClassifier"),
        ("runs", "Run Kept"),
        ("text", "Vocabulary WordTokenizer Language Labels"),
        ("data", "Batches bucketed_batches pad_sequences"),
    ],
)  # fmt: skip
def test_a_room_hands_on_what_users_import(room, names):
    for name in names.split():
        exec(f"from common.{room} import {name}", {})
    assert Loss.__name__ == "Loss"
