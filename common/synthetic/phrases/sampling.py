"""Sampling sentences without replacement: each has a number, and the numbers are permuted by a formula.

No state is kept of what was sampled: memory use does not grow with the number of sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal, get_args

import numpy as np

from common.data.pairs import Pair
from common.synthetic.phrases.blocks import Block
from common.synthetic.phrases.grammar import blocks

Split = Literal["train", "val", "val_held_out"]
SPLITS: tuple[Split, ...] = get_args(Split)
_VAL_EVERY = 10  # one sentence in 10 is for validation, the others for training
_CHUNK = 8192
_FRACTION_BITS = 20  # of fixed-point numbers, whose sums are exact


def phrases(count: int, split: Split = "train", *, seed: int = 0) -> Iterator[Pair]:
    """Sample different sentences of a split, in random order: a function of the arguments.

    Splits of the same seed are disjoint.

    Args:
        count: how many; at most `available(split)`.
        split: train and val have no combination of HELD_OUT_OBJECTS, HELD_OUT_NUMBERS and
            HELD_OUT_ADJECTIVES; val_held_out has one in every sentence.
        seed: of the splits, the sample and its order.

    Returns:
        An iterator of pairs, English and Korean.

    Raises:
        ValueError: there is no such split, or it has fewer sentences.
    """
    if not 0 <= count <= available(split):
        raise ValueError(f"{count:,} of the {available(split):,} sentences for {split}")
    return _draw(count, split, seed)


def available(split: Split) -> int:
    """The number of different sentences of a split.

    Raises:
        ValueError: there is no such split.
    """
    return int(_capacities(split).sum())


def _draw(count: int, split: Split, seed: int) -> Iterator[Pair]:
    grammar = blocks_of(split == "val_held_out")
    lengths = np.array([block.lengths for block in grammar])  # (blocks, slots)
    sizes, capacities = lengths.prod(1), _capacities(split)
    random = np.random.default_rng([seed, SPLITS.index(split)])
    weights = np.array([block.weight for block in grammar])
    ends = quotas(count, weights, capacities, random).cumsum()
    # A block's training sentences come after those for validation, in the block's own order.
    first = sizes - capacities if split == "train" else np.zeros_like(sizes)
    first = first - np.concatenate([[0], ends[:-1]])
    keys = _hashed(np.arange(len(grammar), dtype=np.uint64) + _hashed(np.array([seed], np.uint64)))
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
            yield Pair(*grammar[which].sentence(*chosen))


@cache
def blocks_of(held_out: bool) -> tuple[Block, ...]:
    """`grammar.blocks`, cached."""
    return tuple(blocks(held_out))


def _capacities(split: Split) -> np.ndarray:
    """The number of sentences of each block that belong to a split: (blocks,)."""
    if split not in SPLITS:
        raise ValueError(f"{split!r} is none of {', '.join(SPLITS)}")
    sizes = np.array([block.size for block in blocks_of(split == "val_held_out")])
    if split == "val_held_out":
        return sizes
    return sizes // _VAL_EVERY if split == "val" else sizes - sizes // _VAL_EVERY


def quotas(
    count: int, weights: np.ndarray, capacities: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """The number of sentences from each block: (blocks,), `count` in sum.

    Proportional to the weights, and at most the capacities; the other blocks take the rest. Rounded
    by systematic sampling over the cumulative sum, so that many fractions below 1 add up correctly.

    Args:
        count: at most the sum of the capacities.
        weights: (blocks,) positive.
        capacities: (blocks,) the largest numbers.
        random: of the rounding.
    """
    full = np.zeros(len(weights), bool)
    wanted = np.zeros(len(weights))
    while True:
        rest, weight = count - capacities[full].sum(), weights[~full].sum()
        wanted[~full] = weights[~full] * (rest / weight if weight else 0)
        more = ~full & (wanted >= capacities)
        if not more.any():
            break
        full |= more
    parts = np.where(
        full, capacities << _FRACTION_BITS, (wanted * (1 << _FRACTION_BITS)).astype(np.int64)
    )
    room = (capacities << _FRACTION_BITS) - parts
    parts[room.argmax()] += (count << _FRACTION_BITS) - parts.sum()  # lost to truncation
    order = random.permutation(len(parts))
    passed = (parts[order].cumsum() + int(random.integers(1 << _FRACTION_BITS))) >> _FRACTION_BITS
    numbers = np.zeros_like(parts)
    numbers[order] = np.diff(passed, prepend=0)
    return numbers


def shuffled(index: np.ndarray, size: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Pseudo-random permutations of 0 .. size - 1: one for each size and key.

    A Feistel network permutes the numbers of 2k bits; results of `size` or more are permuted again
    until they are smaller (cycle walking: Black and Rogaway 2002).

    Args:
        index: (n,) numbers to permute, each less than its size.
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
            mixed = _hashed(right + key[walking] + np.uint64(turn << 40))
            left, right = right, left ^ (mixed & mask[walking])
        number[walking] = left << half[walking] | right
        walking = walking[number[walking] >= size[walking].astype(np.uint64)]
    return number.astype(np.int64)


def _hashed(number: np.ndarray) -> np.ndarray:
    """A hash of 64-bit integers (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        number = number + np.uint64(0x9E3779B97F4A7C15)
        number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return number ^ (number >> np.uint64(31))
