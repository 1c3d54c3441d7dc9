from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from common.data.batching import Batches, bucketed_batches, pad_sequences, padding_ratio
from common.models.encoder_decoder import Batch
from common.training.batches import grouped, to_device
from common.training.distributed import World
from common.training.loss import count_examples


def caption_lengths(count: int = 30_000) -> np.ndarray:
    """Lengths spread as those of photograph captions are: mean 11, up to 38."""
    lengths = np.random.default_rng(0).gamma(13, 0.85, count).round()
    return np.clip(lengths, 1, 38).astype(int)


def assert_partition(batches: list[np.ndarray], count: int) -> None:
    """Every example is in exactly one batch, and no batch is empty."""
    assert all(len(batch) for batch in batches)
    assert sorted(np.concatenate(batches).tolist() if batches else []) == list(range(count))


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(0, 40), max_size=300),
    batch_size=st.one_of(st.none(), st.integers(1, 40)),
    max_tokens=st.one_of(st.none(), st.integers(1, 300)),
    pool=st.integers(1, 5),
    shuffle=st.booleans(),
)
def test_any_batches_are_a_partition_within_the_limits(
    lengths: list[int], batch_size: int | None, max_tokens: int | None, pool: int, shuffle: bool
):
    if batch_size is None and max_tokens is None:
        batch_size = 7
    batches = bucketed_batches(
        lengths, batch_size, max_tokens=max_tokens, pool=pool, shuffle=shuffle
    )
    assert_partition(batches, len(lengths))
    for batch in batches:
        assert batch_size is None or len(batch) <= batch_size
        cells = len(batch) * max(max(lengths[i], 1) for i in batch)
        assert max_tokens is None or cells <= max_tokens or len(batch) == 1


@pytest.mark.parametrize(
    "limits",
    [{"batch_size": 32}, {"batch_size": 64}, {"batch_size": 128}]
    + [{"max_tokens": 1024}, {"max_tokens": 4096}],
)
def test_padding_of_captions_costs_at_most_a_twentieth(limits: dict[str, int]):
    lengths = caption_lengths()
    for epoch in range(3):
        batches = bucketed_batches(lengths, **limits, epoch=epoch)
        assert_partition(batches, len(lengths))
        assert padding_ratio(lengths, batches) <= 1.05


def test_padding_of_flickr8k_costs_at_most_a_twentieth(shared):
    lines = (shared / "flickr8k" / "Flickr8k.token.txt").read_text().splitlines()
    lengths = [len(line.split("\t")[1].split()) + 1 for line in lines]
    for batch_size in (32, 64, 128):
        assert padding_ratio(lengths, bucketed_batches(lengths, batch_size)) <= 1.05


def test_no_batch_is_left_with_a_few_examples():
    lengths = caption_lengths(10_001)
    sizes = [len(batch) for batch in bucketed_batches(lengths, 100)]
    assert min(sizes) >= 95 and max(sizes) <= 100


def test_token_batches_cost_about_the_same():
    lengths = caption_lengths()
    cells = [
        len(batch) * lengths[batch].max() for batch in bucketed_batches(lengths, max_tokens=2048)
    ]
    assert np.std(cells) / np.mean(cells) < 0.1


def test_pairs_are_padded_little_on_both_sides():
    target = caption_lengths()
    source = np.clip(target + np.random.default_rng(1).integers(-3, 4, len(target)), 1, None)
    pairs = np.stack([target, source], axis=1)
    for limits in ({"batch_size": 64}, {"max_tokens": 4096}):
        assert padding_ratio(pairs, bucketed_batches(pairs, **limits)) <= 1.05


def test_order_is_a_function_of_seed_and_epoch():
    lengths = caption_lengths(2000)

    def batches(**key: int) -> list[list[int]]:
        return [batch.tolist() for batch in bucketed_batches(lengths, 32, **key)]

    np.random.seed(1)
    first = batches(seed=1, epoch=2)
    np.random.seed(2)
    assert batches(seed=1, epoch=2) == first
    assert batches(seed=1, epoch=3) != first
    assert batches(seed=2, epoch=2) != first


def test_other_epochs_put_other_examples_together():
    lengths = np.full(1000, 5)
    together = [
        Counter(frozenset(batch.tolist()) for batch in bucketed_batches(lengths, 10, epoch=epoch))
        for epoch in (0, 1)
    ]
    assert not together[0] & together[1]


def test_without_shuffling_the_order_is_that_of_the_lengths():
    lengths = [3, 1, 2, 5, 4, 6]
    batches = bucketed_batches(lengths, 2, shuffle=False)
    assert [batch.tolist() for batch in batches] == [[1, 2], [0, 4], [3, 5]]
    in_pools = bucketed_batches(lengths, 2, pool=1, shuffle=False)
    assert [batch.tolist() for batch in in_pools] == [[1, 0], [2, 3], [4, 5]]


def test_too_long_an_example_is_alone():
    batches = bucketed_batches([5, 5, 100, 5], max_tokens=20)
    assert [2] in [batch.tolist() for batch in batches]


def test_padding_ratio_by_hand():
    assert padding_ratio([1, 3, 2], [np.array([0, 1]), np.array([2])]) == pytest.approx(8 / 6)


def test_limits_are_asked_for():
    with pytest.raises(ValueError, match="batch_size"):
        bucketed_batches([1, 2])
    with pytest.raises(ValueError, match="at least 1"):
        bucketed_batches([1, 2], 0)


def test_pad_sequences():
    padded = pad_sequences([[1, 2, 3], [], [4]], pad=9)
    assert padded.tolist() == [[1, 2, 3], [9, 9, 9], [4, 9, 9]]
    assert padded.dtype == torch.int64
    assert pad_sequences([]).shape == (0, 0)


def test_batches_are_made_when_asked_for():
    made: list[list[int]] = []

    def collate(rows: np.ndarray) -> int:
        made.append(rows.tolist())
        return int(rows.sum())

    batches = Batches([np.array([0, 1]), np.array([2]), np.array([3, 4])], collate)
    assert len(batches) == 3 and not made
    assert batches[2] == 7 and made == [[3, 4]]
    assert list(batches[1:]) == [2, 7] and len(batches[:2]) == 2


def test_groups_begin_anywhere_and_take_every_batch_once():
    batches = list(range(11))
    for first in range(12):
        groups = [(list(group), size) for group, size in grouped(batches, first, accumulate=4)]
        assert [batch for group, _ in groups for batch in group] == batches[first:]
        assert all(len(group) == size for group, size in groups)


def test_processes_share_every_group():
    batches = list(range(11))
    shares = [
        [
            (list(group), size)
            for group, size in grouped(batches, 1, accumulate=2, world=World(r, 3))
        ]
        for r in range(3)
    ]
    assert [size for _, size in shares[0]] == [6, 4]
    assert sorted(sum((group for share in shares for group, _ in share), [])) == batches[1:]
    for steps in zip(*shares, strict=True):  # as a single process would make the same groups
        assert len({size for _, size in steps}) == 1
        assert sum(len(group) for group, _ in steps) == steps[0][1]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_give_the_same_batches_and_leave_the_generator_alone():
    batches = Batches([np.array([i, i + 1]) for i in range(7)], torch.from_numpy)
    before = torch.get_rng_state()
    here = [[b.tolist() for b in group] for group, _ in grouped(batches, 1, accumulate=2)]
    there = [
        [b.tolist() for b in group] for group, _ in grouped(batches, 1, accumulate=2, workers=2)
    ]
    assert here == there
    assert torch.equal(before, torch.get_rng_state())


class Pair(NamedTuple):
    source: torch.Tensor
    name: str


@dataclass(frozen=True)
class Nested:
    pairs: list[Pair]
    extra: dict[str, torch.Tensor]


def test_any_batch_moves_to_a_device():
    batch = Nested([Pair(torch.ones(3, 2), "a")], {"x": torch.ones(3)})
    moved = to_device(batch, torch.device("meta"))
    assert moved.pairs[0].source.device.type == "meta" and moved.extra["x"].device.type == "meta"
    assert moved.pairs[0].name == "a" and isinstance(moved.pairs[0], Pair)
    assert batch.extra["x"].device.type == "cpu"


def test_a_batch_that_knows_its_length_counts_as_that():
    """Five sentences about two pictures are five examples."""
    pictures, sentences = torch.zeros(2, 3, 4, 4), [[4, 5]] * 5
    batch = Batch.collate((pictures,), sentences, torch.tensor([0, 0, 0, 1, 1]))
    assert count_examples(batch) == len(batch) == 5


def test_examples_are_the_rows_of_the_first_tensor():
    assert count_examples(torch.ones(5, 2)) == 5
    assert count_examples(("no tensor", None, torch.ones(4))) == 4
    assert count_examples(Nested([Pair(torch.ones(3, 2), "a")], {})) == 3
    assert count_examples({"ids": [1, 2], "x": torch.ones(2)}) == 2
    assert count_examples("text") == 0


def test_workers_need_no_shared_memory():
    """Of which a container has little; a batch comes through a pipe, whatever its numbers."""
    kinds = (torch.uint8, torch.float16, torch.int64, torch.bool)
    batches = Batches(
        [np.array([row]) for row in range(len(kinds))],
        lambda rows: {"x": torch.ones(2, 3, dtype=kinds[int(rows[0])])},
    )
    found = [batch["x"] for group, _ in grouped(batches, workers=1) for batch in group]
    assert [each.dtype for each in found] == list(kinds)
    assert all(bool((each == 1).all()) and not each.is_shared() for each in found)
