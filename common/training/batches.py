"""The batches of an epoch on their way to the device: grouped by update, made ahead, moved."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from common.compute.device import is_gpu, map_tensors, pinned, upload
from common.training.distributed import World
from common.training.interruption import leave_to_parent

Batch = TypeVar("Batch")


def grouped(
    batches: Sequence[Batch],
    first: int = 0,
    *,
    accumulate: int = 1,
    world: World | None = None,
    workers: int = 0,
    seed: int = 0,
    device: torch.device | None = None,
) -> Generator[tuple[Iterator[Batch], int], None, None]:
    """The batches of an epoch in groups, one for each update of the weights.

    For a GPU the next batch is made ahead, in a thread, and put where the GPU fetches it from by
    itself. What is random in a batch must there come from (seed, epoch, batch): the global random
    generators would be ahead of the training, and another number of draws ahead after a resume.

    Args:
        batches: the batches of the epoch.
        first: the batch to begin with.
        accumulate: batches of a group that each process takes; the last group may be smaller.
        world: the processes that share every group.
        workers: processes that make batches ahead of time; 0 makes each when it is needed.
        seed: of the random generators of the workers.
        device: where the batches are going to.

    Yields:
        Those batches of a group that are for this process, and the size of the whole group.
    """
    rank, processes = (world.rank, world.size) if world else (0, 1)
    size = accumulate * processes
    starts = range(first, len(batches), size)
    groups = [range(start, min(start + size, len(batches))) for start in starts]
    mine = [group[rank::processes] for group in groups]
    order = [position for group in mine for position in group]
    if workers:
        # With a generator of its own: the loader would draw from the global one.
        generator = torch.Generator()
        generator.manual_seed(seed)
        stream: Iterator[Batch] = iter(
            DataLoader(
                batches,  # type: ignore[arg-type]
                batch_size=None,
                sampler=order,
                num_workers=workers,
                generator=generator,
                worker_init_fn=leave_to_parent,
            )
        )
    else:
        stream = (batches[position] for position in order)
    ahead = _made_ahead(stream, device) if device is not None and is_gpu(device) else None
    try:
        for group, part in zip(groups, mine, strict=True):
            yield islice(ahead or stream, len(part)), len(group)
    finally:
        if ahead is not None:
            ahead.close()


def _made_ahead(batches: Iterator[Batch], device: torch.device) -> Generator[Batch, None, None]:
    """The same batches, pinned, each made by a thread while the one before is computed with.

    What goes wrong with a batch is raised where that batch would come. To close the generator waits
    for the batch in the making, and ends the thread.
    """

    def make() -> tuple[Batch, ...]:
        return tuple(_pinned(batch, device) for batch in islice(batches, 1))

    with ThreadPoolExecutor(1, "batches") as thread:
        future = thread.submit(make)
        while made := future.result():
            future = thread.submit(make)
            yield made[0]


def _pinned(batch: Any, device: torch.device) -> Any:
    if hasattr(batch, "pin_memory") and not isinstance(batch, Tensor):
        return batch.pin_memory()
    return map_tensors(batch, lambda tensor: pinned(tensor, device))


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on `device`; what is nested is a dict, a tuple, a list, or a
    dataclass, unless it has a `to` of its own."""
    if isinstance(batch, Tensor):
        return upload(batch, device)
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a NamedTuple
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        moved = {name: to_device(value, device) for name, value in _fields(batch).items()}
        return replace(batch, **moved)
    return batch


def count_examples(batch: Any) -> int:
    """How many examples a batch holds: its length if it is a dataclass that has one; else the rows of
    the first tensor in it, or 0 without one."""
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.ndim else 1
    if is_dataclass(batch) and isinstance(batch, Sized):
        return len(batch)
    if isinstance(batch, dict):
        parts: Iterable[Any] = batch.values()
    elif isinstance(batch, list | tuple):
        parts = batch
    else:
        parts = _fields(batch).values()
    return next((count for count in map(count_examples, parts) if count), 0)


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name; none of anything else."""
    if not is_dataclass(value):
        return {}
    return {field.name: getattr(value, field.name) for field in fields(value)}
