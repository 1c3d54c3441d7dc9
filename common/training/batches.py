"""The batches of an epoch on their way to the device: grouped by update, made ahead, moved."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
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
    stream = (batches[position] for position in order)
    if workers:
        loader: Any = DataLoader(
            batches, batch_size=None, sampler=order, num_workers=workers,  # type: ignore[arg-type]
            # Of its own: the loader would draw from the global one.
            generator=torch.Generator().manual_seed(seed), worker_init_fn=leave_to_parent,
            collate_fn=_as_arrays,
        )  # fmt: skip
        stream = (map_tensors(batch, torch.from_numpy, np.ndarray) for batch in loader)
    if device is not None and is_gpu(device):
        stream = _made_ahead(stream, device)
    with closing(stream):
        for group, part in zip(groups, mine, strict=True):
            yield islice(stream, len(part)), len(group)


def _as_arrays(batch: Any) -> Any:
    """A batch as a worker sends it: arrays, which go through a pipe.

    Tensors would go by shared memory, of which a container has little (Docker's have 64 MB): the worker
    that finds it full dies, or waits for ever.
    """
    # NumPy has no bfloat16.
    return map_tensors(batch, lambda each: each if each.dtype == torch.bfloat16 else each.numpy())


def _made_ahead(batches: Iterator[Batch], device: torch.device) -> Generator[Batch, None, None]:
    """The same batches, pinned, each made by a thread while the one before is computed with.

    What goes wrong with a batch is raised where that batch would come. To close the generator waits
    for the batch in the making, and ends the thread.
    """

    def pin(batch: Any) -> Any:
        if hasattr(batch, "pin_memory") and not isinstance(batch, Tensor):
            return batch.pin_memory()
        return map_tensors(batch, lambda tensor: pinned(tensor, device))

    def make() -> tuple[Batch, ...]:
        return tuple(pin(batch) for batch in islice(batches, 1))

    with ThreadPoolExecutor(1, "batches") as thread:
        future = thread.submit(make)
        while made := future.result():
            future = thread.submit(make)
            yield made[0]


@runtime_checkable
class Movable(Protocol):
    """A tensor, or a batch that knows which of its tensors go to a device."""

    def to(self, device: torch.device) -> Any: ...


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on `device`; what is nested is a dict, a tuple, a list, or a
    dataclass, unless it has a `to` of its own."""

    def move(value: Movable) -> Any:
        return upload(value, device) if isinstance(value, Tensor) else value.to(device)

    return map_tensors(batch, move, Movable)
