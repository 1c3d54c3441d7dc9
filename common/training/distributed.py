"""Training by several processes, as `torchrun` starts them: gradients are added up over all.

    torchrun --nproc-per-node 2 training.py

Each process takes its part of every group of batches, and each sees the same sum of gradients:
n processes train as one process does that accumulates over n batches. The script, your own, is the
same for all, but only process 0 makes files (the pipelines' `train` is for a single process):

    with world_of_torchrun() as (world, device):
        if world.rank == 0:
            Run.create(folder, kind, config, resume=True)
        world.from_first(None)  # the others wait until it is there
        run = Run.open(folder)
        with Tracker(run.path if world.rank == 0 else None, progress=world.rank == 0) as tracker:
            Trainer(model.to(device), ..., run=run, tracker=tracker, world=world).fit()
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# Optimisers import it. Imported after the group is there, its default arguments keep the group, whose
# threads then outlive it, and now and then abort the interpreter as it ends.
import torch.distributed.nn.functional  # noqa: F401
from torch import Tensor, nn

from common.compute.device import device_of_process


@dataclass(frozen=True)
class World:
    """The processes that train together; by default this one alone, where all below is free.

    Args:
        rank: the number of this process; process 0 writes and validates for all.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its sum over all processes: one exchange for all."""
        if self.size == 1:
            return
        buffer = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        dist.all_reduce(buffer)
        parts = buffer.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def copy_from_first(self, model: nn.Module) -> None:
        """Give every process the weights and buffers of process 0, in place."""
        if self.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.data, src=0)

    def from_first(self, value: Any) -> Any:
        """The plain value that process 0 gave."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """The plain values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


@contextmanager
def world_of_torchrun(hours_to_wait: float = 24) -> Iterator[tuple[World, torch.device]]:
    """Join the processes that `torchrun` started; without it, this process alone.

    Args:
        hours_to_wait: how long the others wait for process 0, as while it validates.

    Yields:
        The world, and the device of this process: a GPU of its own, or the CPU.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    device = device_of_process(int(os.environ.get("LOCAL_RANK", 0)))
    if size == 1:
        yield World(), device
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(hours=hours_to_wait))
    try:
        yield World(dist.get_rank(), size), device
    finally:
        dist.destroy_process_group()
