"""On a GPU the next batch is made ahead, by one thread; a pretended answer to `is_gpu` shows how."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import count

import numpy as np
import pytest
import torch

from common.data.batching import Batches
from common.training import batches as batching
from common.training.batches import grouped
from common.training.distributed import World

DEVICE = torch.device("cpu")


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The processor, taken for a GPU; returns what was pinned."""
    pinned: list[torch.Tensor] = []

    def pin(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(batching, "is_gpu", lambda device: True)
    monkeypatch.setattr(batching, "pinned", pin)
    return pinned


def makers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def batches_of(number: int, failing: int = -1, made: list[int] | None = None) -> Batches:
    def collate(rows: np.ndarray) -> torch.Tensor:
        (row,) = rows.tolist()
        if row == failing:
            raise ValueError(f"batch {row} is damaged")
        if made is not None:
            made.append(row)
        return torch.tensor([row])

    return Batches([np.array([row]) for row in range(number)], collate)


def flat(groups) -> list[list[int]]:
    return [[int(batch) for batch in group] for group, _ in groups]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("rank", [0, 1])
def test_the_same_batches_come_in_the_same_order(pretended, accumulate, first, rank):
    world = World(rank, 2)
    options = {"accumulate": accumulate, "world": world}
    ahead = flat(grouped(batches_of(8), first, **options, device=DEVICE))
    assert ahead == flat(grouped(batches_of(8), first, **options))
    assert len(pretended) == sum(map(len, ahead)) and not makers()


def test_one_batch_is_made_while_the_one_before_is_used():
    made: list[int] = []
    with closing(grouped(batches_of(9, made=made), device=DEVICE)) as groups:
        for number in count(1):
            group, _ = next(groups)
            list(group)
            for _ in range(1000):
                if len(made) == number + 1:
                    break
                threading.Event().wait(0.005)
            assert made == list(range(number + 1))
            if number == 4:
                break
    assert not makers()  # stopped in the middle of an epoch


def test_a_damaged_batch_is_reported_where_it_would_come():
    groups = grouped(batches_of(5, failing=2), device=DEVICE)
    assert [int(batch) for _ in range(2) for batch in next(groups)[0]] == [0, 1]
    with pytest.raises(ValueError, match="batch 2 is damaged"):
        list(next(groups)[0])
    groups.close()
    assert not makers()


def test_ctrl_c_ends_it(monkeypatch):
    with (
        pytest.raises(KeyboardInterrupt),
        closing(grouped(batches_of(5), device=DEVICE)) as groups,
    ):
        list(next(groups)[0])
        raise KeyboardInterrupt
    assert not makers()


def test_ctrl_c_inside_a_batch_passes_through():
    def interrupted(rows: np.ndarray) -> torch.Tensor:
        raise KeyboardInterrupt

    groups = grouped(Batches([np.array([0])], interrupted), device=DEVICE)
    with pytest.raises(KeyboardInterrupt):
        list(next(groups)[0])
    groups.close()
    assert not makers()


def test_workers_make_them_too():
    found = flat(grouped(batches_of(4), device=DEVICE, workers=1))
    assert found == [[0], [1], [2], [3]] and not makers()


def test_batches_of_any_shape_are_pinned(pretended):
    batches = [{"a": torch.ones(1), "b": (torch.ones(2), "text")}]
    ((group, _),) = [(list(group), size) for group, size in grouped(batches, device=DEVICE)]
    assert len(pretended) == 2 and group[0]["b"][1] == "text"
