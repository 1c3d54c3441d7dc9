"""The batches of an epoch, whatever gives them: a function, a list, or a `DataLoader` of PyTorch."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from common.errors import UserError
from common.training.checkpoint import random_state, restore_random_state
from common.training.progress import Progress

Given: TypeAlias = Callable[[int], Sequence[Any] | DataLoader] | Sequence[Any] | DataLoader


def enter_epoch(given: Given, progress: Progress, seed: int = 0) -> Sequence[Any]:
    """The batches of the present epoch, the same again where it is resumed; `progress` counts them.

    Raises:
        UserError: there is none, or the epoch that is resumed had more or fewer.
        TypeError: as `batches_of`.
    """
    found = batches_of(given, progress.epoch, seed)
    if not len(found):
        raise UserError("there is nothing to train on: the training data gives no batch.")
    if progress.batch and len(found) != progress.epoch_batches:
        raise UserError(
            f"the data or the batch size has changed: epoch {progress.epoch + 1} has "
            f"{len(found)} batches now, and had {progress.epoch_batches}. "
            "Resume with what the run was started with, or start another run."
        )
    progress.epoch_batches = len(found)
    return found


def batches_of(given: Given, epoch: int = 0, seed: int = 0) -> Sequence[Any]:
    """The batches of an epoch as a sequence, which a resumed training enters anywhere.

    Args:
        given: them, or a function that is called with the epoch, or a `DataLoader`.
        epoch: counted from 0.
        seed: with the epoch, it decides the order of a `DataLoader`.

    Raises:
        TypeError: it is nothing that can be entered anywhere.
    """
    found = given(epoch) if callable(given) else given
    if isinstance(found, DataLoader):
        return LoaderBatches(found, epoch, seed)
    if not hasattr(found, "__len__") or not hasattr(found, "__getitem__"):
        raise TypeError(
            "batches(epoch) must return a sequence, which a resumed training enters anywhere: a list, "
            f"`Batches` or a DataLoader, not a {type(found).__name__}"
        )
    return found


class LoaderBatches(Sequence[Any]):
    """The batches of a `DataLoader` in one epoch, each made when it is indexed.

    The loader's sampler is asked once, its random numbers a function of (seed, epoch) alone, so that a
    resumed training sees the same order. What is random in an example comes from the global random
    generators, as of any other batch. The processes of the loader are not used: see `workers` of
    `Trainer`.

    Raises:
        TypeError: the loader is of an `IterableDataset`, which cannot be entered anywhere.
    """

    def __init__(self, loader: DataLoader, epoch: int = 0, seed: int = 0) -> None:
        if isinstance(loader.dataset, IterableDataset):
            raise TypeError(
                "a DataLoader of an IterableDataset cannot be resumed in the middle of an epoch: give a "
                "Dataset with __getitem__ and __len__, or a list of its batches"
            )
        self.loader = loader
        self.rows = _order(loader, epoch, seed)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[each] for each in range(len(self))[position]]
        dataset, rows = self.loader.dataset, self.rows[position]
        if self.loader.batch_sampler is None:  # an item of the data set is a batch
            return self.loader.collate_fn(dataset[rows])
        if hasattr(dataset, "__getitems__"):
            return self.loader.collate_fn(dataset.__getitems__(rows))
        return self.loader.collate_fn([dataset[row] for row in rows])


def _order(loader: DataLoader, epoch: int, seed: int) -> list[Any]:
    """The rows of each batch. The random generators are left as they were."""
    sampler: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    parts = [loader, sampler, loader.sampler]
    own = {id(g): g for each in parts if (g := getattr(each, "generator", None)) is not None}
    before, states = random_state(), [generator.get_state() for generator in own.values()]
    for each in parts[1:]:
        if hasattr(each, "set_epoch"):
            each.set_epoch(epoch)
    number = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    # Not `torch.manual_seed`, which seeds the GPUs too.
    torch.default_generator.manual_seed(number)
    for generator in own.values():
        generator.manual_seed(number)
    try:
        return list(sampler)
    finally:
        restore_random_state(before)
        for generator, state in zip(own.values(), states, strict=True):
            generator.set_state(state)
