"""Drawing sentences without replacement: each has a number, and the numbers are shuffled by a formula.

Nothing is remembered of what was drawn, so five million sentences need no more memory than five.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal, get_args

import numpy as np

from common.data.pairs import Pair
from common.synthetic.phrases.grammar import Block, blocks

Split = Literal["train", "val", "val_held_out"]
SPLITS: tuple[Split, ...] = get_args(Split)
_VAL_SHARE = 10  # one sentence in so many can be drawn for validation, and never for training
_CHUNK = 8192
_FRACTION = 20  # bits after the point of a share: sums of whole numbers are exact


def phrases(count: int, split: Split = "train", *, seed: int = 0) -> Iterator[Pair]:
    """Draw different sentences of a split, in random order: a function of the arguments.

    No sentence of one split is in another one of the same seed, however many are drawn.

    Args:
        count: how many; at most `available(split)`.
        split: train and val have no combination of HELD_OUT_OBJECTS, HELD_OUT_NUMBERS and
            HELD_OUT_ADJECTIVES, val_held_out has one in every sentence.
        seed: of the splits, the choice and the order.

    Returns:
        An iterator of pairs, English and Korean.

    Raises:
        ValueError: there is no such split, or there are not so many sentences.
    """
    if not 0 <= count <= available(split):
        raise ValueError(f"{count:,} of the {available(split):,} sentences for {split}")
    return _draw(count, split, seed)


def available(split: Split) -> int:
    """How many different sentences a split can have.

    Raises:
        ValueError: there is no such split.
    """
    return int(_capacities(split).sum())


def _draw(count: int, split: Split, seed: int) -> Iterator[Pair]:
    there = blocks_of(split == "val_held_out")
    lengths = np.array([block.lengths for block in there])  # (blocks, slots)
    sizes, capacities = lengths.prod(1), _capacities(split)
    random = np.random.default_rng([seed, SPLITS.index(split)])
    weights = np.array([block.weight for block in there])
    ends = quotas(count, weights, capacities, random).cumsum()
    # A block's training sentences come after those for validation, in the block's own order.
    first = sizes - capacities if split == "train" else np.zeros_like(sizes)
    first = first - np.concatenate([[0], ends[:-1]])
    keys = _mixed(np.arange(len(there), dtype=np.uint64) + _mixed(np.array([seed], np.uint64)))
    order_key = random.integers(2**63, dtype=np.uint64)
    for start in range(0, count, _CHUNK):
        index = np.arange(start, min(start + _CHUNK, count))
        place = shuffled(index, np.full_like(index, count), np.full(len(index), order_key))
        block = ends.searchsorted(place, side="right")
        number = shuffled(place + first[block], sizes[block], keys[block])
        choices = []
        for length in lengths[block].T:
            number, choice = np.divmod(number, length)
            choices.append(choice.tolist())
        for which, *chosen in zip(block.tolist(), *choices, strict=True):
            yield Pair(*there[which].sentence(*chosen))


@cache
def blocks_of(held_out: bool) -> tuple[Block, ...]:
    """The blocks of the sentences with a new combination, or of those without; made once."""
    return tuple(blocks(held_out))


def _capacities(split: Split) -> np.ndarray:
    """How many sentences of each block a split may have: (blocks,)."""
    if split not in SPLITS:
        raise ValueError(f"{split!r} is none of {', '.join(SPLITS)}")
    sizes = np.array([block.size for block in blocks_of(split == "val_held_out")])
    if split == "val_held_out":
        return sizes
    return sizes // _VAL_SHARE if split == "val" else sizes - sizes // _VAL_SHARE


def quotas(
    count: int, weights: np.ndarray, capacities: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """How many sentences come from each block: (blocks,), `count` in sum.

    By weight; what a block has too few for, the others give. Shares are rounded so that many small
    ones add up to what they should: along their sum, whoever passes a whole number gets one.

    Args:
        count: at most the sum of the capacities.
        weights: (blocks,) any positive numbers.
        capacities: (blocks,) the most that come from each.
        random: of the rounding.
    """
    full = np.zeros(len(weights), bool)
    shares = np.zeros(len(weights))
    while True:
        rest, weight = count - capacities[full].sum(), weights[~full].sum()
        shares[~full] = weights[~full] * (rest / weight if weight else 0)
        more = ~full & (shares >= capacities)
        if not more.any():
            break
        full |= more
    parts = np.where(full, capacities << _FRACTION, (shares * (1 << _FRACTION)).astype(np.int64))
    room = (capacities << _FRACTION) - parts
    parts[room.argmax()] += (count << _FRACTION) - parts.sum()  # what was cut off above
    order = random.permutation(len(parts))
    passed = (parts[order].cumsum() + int(random.integers(1 << _FRACTION))) >> _FRACTION
    numbers = np.zeros_like(parts)
    numbers[order] = np.diff(passed, prepend=0)
    return numbers


def shuffled(index: np.ndarray, size: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Where numbers go in a random order of 0 .. size - 1: a permutation for each size and key.

    A Feistel network permutes the numbers of 2k bits; whoever lands beyond the size goes on from
    there until he is back (cycle walking: Black and Rogaway 2002).

    Args:
        index: (n,) numbers, each less than its size.
        size: (n,) at least 1.
        key: (n,) uint64.

    Returns:
        (n,) int64.
    """
    bits = np.maximum(np.frexp(size - 1.0)[1], 2)  # of the largest number
    half = ((bits + 1) // 2).astype(np.uint64)
    mask = (np.uint64(1) << half) - np.uint64(1)
    number = index.astype(np.uint64)
    walking = np.arange(len(number))
    while len(walking):
        left, right = number[walking] >> half[walking], number[walking] & mask[walking]
        for turn in range(4):
            mixed = _mixed(right + key[walking] + np.uint64(turn << 40))
            left, right = right, left ^ (mixed & mask[walking])
        number[walking] = left << half[walking] | right
        walking = walking[number[walking] >= size[walking].astype(np.uint64)]
    return number.astype(np.int64)


def _mixed(number: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit of the number (splitmix64, Steele 2014)."""
    with np.errstate(over="ignore"):
        number = number + np.uint64(0x9E3779B97F4A7C15)
        number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return number ^ (number >> np.uint64(31))
