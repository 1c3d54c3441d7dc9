"""Batches of sequences of similar length: the order is a function of (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

import numpy as np
import torch
from torch import Tensor

Batch = TypeVar("Batch")


def bucketed_batches(
    lengths: Sequence[int] | np.ndarray,
    batch_size: int | None = None,
    *,
    max_tokens: int | None = None,
    seed: int = 0,
    epoch: int = 0,
    pool: int = 100,
    shuffle: bool = True,
) -> list[np.ndarray]:
    """Divide the examples into batches of similar length, so that padding costs almost nothing.

    The examples are shuffled and cut into pools of many batches; a pool is sorted by length (equal
    lengths stay shuffled) and cut into batches; the order of all batches is shuffled. Sorting the
    whole corpus would pad a little less but put the same sentences together in every epoch.

    Args:
        lengths: (N,) tokens of each example, or (N, K) for examples of K sequences, as source and
            target: sorted by the first, then by the second.
        batch_size: at most so many examples in a batch. Every batch of a pool has this size, or
            nearly: a remainder is spread, so that no batch is left with one or two examples.
        max_tokens: at most so many cells in a batch, padding included; an example that is longer
            makes a batch of its own. Batches then cost about the same time.
        seed, epoch: the same pair gives the same batches in the same order.
        pool: batches that are sorted together.
        shuffle: False for evaluation: no random order. Examples are still sorted by length within
            pools: the arrays say which they are.

    Returns:
        Arrays of example indices: each example is in exactly one batch.
    """
    if batch_size is None and max_tokens is None:
        raise ValueError("give batch_size, max_tokens, or both")
    if min(value for value in (batch_size, max_tokens, pool) if value is not None) < 1:
        raise ValueError("batch_size, max_tokens and pool must be at least 1")
    table = _as_columns(lengths)  # (N, K)
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(table)) if shuffle else np.arange(len(table))

    per_batch = float("inf") if batch_size is None else batch_size
    if max_tokens is not None and len(table):
        per_batch = min(per_batch, max_tokens / table.sum(1).mean())
    batches: list[np.ndarray] = []
    for members in _pools(order, max(1, round(pool * min(per_batch, len(table) or 1)))):
        by_length = np.lexsort(table[members].T[::-1])  # stable: equal lengths stay shuffled
        members = members[by_length]
        if max_tokens is None:
            batches += np.array_split(members, -(-len(members) // (batch_size or 1)))
        else:
            batches += _cut_by_tokens(members, table, max_tokens, batch_size)
    if shuffle:
        batches = [batches[i] for i in generator.permutation(len(batches))]
    return batches


def _as_columns(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """(N, K) lengths, none below 1: an empty sequence still takes its row."""
    table = np.asarray(lengths, dtype=np.int64)
    return np.maximum(table.reshape(len(table), -1) if table.size else table.reshape(0, 1), 1)


def _pools(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut into pools of `size`; a smaller last pool joins the one before, as it would pad more."""
    if not len(order):
        return []
    starts = range(0, max(1, len(order) // size) * size, size)
    return [order[start : start + size] for start in starts[:-1]] + [order[starts[-1] :]]


def _cut_by_tokens(
    members: np.ndarray, table: np.ndarray, max_tokens: int, batch_size: int | None
) -> list[np.ndarray]:
    """Cut sorted `members` into batches of at most `max_tokens` cells and `batch_size` rows."""
    bounds = [0]
    while bounds[-1] < len(members):
        start = bounds[-1]
        # Lengths only grow from here, so the first example bounds how many can fit.
        most = max(1, max_tokens // int(table[members[start]].sum()))
        most = min(most, batch_size) if batch_size else most
        longest = np.maximum.accumulate(table[members[start : start + most]], axis=0).sum(1)
        cells = longest * np.arange(1, len(longest) + 1)
        bounds.append(start + max(1, int(np.searchsorted(cells, max_tokens, side="right"))))
    return [members[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]


def padding_ratio(lengths: Sequence[int] | np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Padded cells over real tokens, 1.0 at best, of batches cut by `bucketed_batches`."""
    table = _as_columns(lengths)
    padded = sum(len(batch) * int(table[batch].max(0).sum()) for batch in batches)
    return padded / max(1, sum(int(table[batch].sum()) for batch in batches))


def pad_sequences(sequences: Sequence[Sequence[int]], pad: int = 0) -> Tensor:
    """Sequences of ids as one matrix (B, T), T the longest, filled up with `pad` on the right."""
    lengths = np.fromiter((len(sequence) for sequence in sequences), np.int64, len(sequences))
    padded = np.full((len(sequences), int(lengths.max(initial=0))), pad, dtype=np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)


class Batches(Sequence[Batch]):
    """The batches of one epoch, each made when it is indexed.

    `Trainer` can enter it at any batch, and go through it with several processes.

    Args:
        indices: the examples of each batch, as from `bucketed_batches`.
        collate: makes a batch from the indices of its examples.
    """

    def __init__(
        self, indices: Sequence[np.ndarray], collate: Callable[[np.ndarray], Batch]
    ) -> None:
        self.indices = indices
        self.collate = collate

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, position: int) -> Batch: ...

    @overload
    def __getitem__(self, position: slice) -> Batches[Batch]: ...

    def __getitem__(self, position: int | slice) -> Batch | Batches[Batch]:
        if isinstance(position, slice):
            return Batches(self.indices[position], self.collate)
        return self.collate(self.indices[position])
