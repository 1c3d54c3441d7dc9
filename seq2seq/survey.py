"""The splits of parallel text, and the first reading of the files, which finds and counts them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from itertools import chain, compress, repeat
from typing import Any

import numpy as np
from tqdm import tqdm

from common.data.pairs import Pair, PairReader
from common.data.reading import decode_line
from common.errors import UserError

_BLANK = 32  # this byte and those below it: the blank, tabs, line ends, control characters
_MOST_SPLITS = 255


class ParallelText:
    """The sentence pairs of a split, read from disk at each iteration.

    A side may be empty: line numbers stay as they are in the files. Iterating raises a UserError if
    the files have become longer or shorter since they were loaded.

    Args:
        name: of the split, for messages.
        reader: of the file.
        splits: the number of the split of each pair of the file, one byte each.
        number: of this split.

    Attributes:
        digest: equal where the same pairs come in the same order.
        empty: how many pairs have a side without words; words are what blanks separate.
        words: (source, target) of all pairs.
        longest: (source, target) the words of the longest sentence.
    """

    def __init__(self, name: str, reader: PairReader, splits: array[int], number: int) -> None:
        self.name = name
        self.reader = reader
        self.splits = splits
        self.number = number
        self.digest = ""
        self.empty = self._length = 0
        self.words, self.longest = [0, 0], [0, 0]
        self._digests = [hashlib.blake2b(digest_size=16) for _ in range(2)]

    def add(self, sources: list[bytes], targets: list[bytes]) -> np.ndarray:
        """Count some more pairs.

        Args:
            sources, targets: N lines each, with or without their ends.

        Returns:
            (M,) int64: a hash of each of the pairs that have words on both sides.
        """
        usable = np.ones(len(sources), bool)
        for side, lines in enumerate((sources, targets)):
            text = b"\n".join(lines) + b"\n"
            self._digests[side].update(text)
            words = _words_by_line(text, lines)
            usable &= words > 0
            self.words[side] += int(words.sum())
            self.longest[side] = max(self.longest[side], int(words.max(initial=0)))
        both = b"".join(digest.digest() for digest in self._digests)
        self.digest = hashlib.blake2b(both, digest_size=16).hexdigest()
        self._length += len(sources)
        self.empty += int((~usable).sum())
        pairs = zip(sources, targets, strict=True)
        return np.fromiter(map(hash, pairs), np.int64, len(sources))[usable]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Pair]:
        count = 0
        # Lines that were added since are counted too.
        splits = chain(self.splits, repeat(self.number))
        for sources, targets, _ in self.reader.blocks([]):
            for source, target, split in zip(sources, targets, splits, strict=False):
                if split == self.number:
                    count += 1
                    yield Pair(decode_line(source), decode_line(target))
        if count != len(self):
            raise UserError(
                f"{self.name}: {count:,} pairs, where there were {len(self):,} before: the files "
                "have changed while they were in use. Start again."
            )

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_digests": None}  # which cannot be pickled


def _words_by_line(text: bytes, lines: list[bytes]) -> np.ndarray:
    """(N,) the words of each of N lines; `text` is all of them, with a line end after each."""
    blank = np.frombuffer(text, np.uint8) <= _BLANK
    starts = np.concatenate([~blank[:1], blank[:-1] & ~blank[1:]])
    ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1)
    return np.diff(np.searchsorted(np.flatnonzero(starts), ends), prepend=0)


def survey(
    reader: PairReader, split_of: Callable[[str], str], problems: list[str]
) -> tuple[dict[str, ParallelText], dict[str, np.ndarray]]:
    """Read a file, and count the pairs of each split in it.

    Memory use: 9 bytes a pair.

    Args:
        reader: of the file.
        split_of: from a source sentence to its split, where the file names none.
        problems: gets a line for each damaged pair.

    Returns:
        The splits, and sorted hashes of their pairs, as from `ParallelText.add`.

    Raises:
        UserError: there are more than 255 splits.
    """
    numbers = array("B")  # for each pair the number of its split
    texts: dict[str, ParallelText] = {}
    hashes: dict[str, list[np.ndarray]] = {}
    with tqdm(
        desc=f"reading {reader.name}", unit=" pairs", leave=False, delay=1.0, disable=None
    ) as bar:
        for sources, targets, splits in reader.blocks(problems):
            both = zip(splits, sources, strict=True)
            names = [split or split_of(source.decode()) for split, source in both]
            for name in dict.fromkeys(names):
                if name not in texts and len(texts) == _MOST_SPLITS:
                    raise UserError(
                        f"{reader.name}: more than {_MOST_SPLITS} splits. Is {name!r} one?"
                    )
                if name not in texts:
                    texts[name] = ParallelText(name, reader, numbers, len(texts))
                some = sources, targets
                if names.count(name) < len(names):
                    chosen = [each == name for each in names]
                    some = [*compress(sources, chosen)], [*compress(targets, chosen)]
                hashes.setdefault(name, []).append(texts[name].add(*some))
            numbers.extend(map(list(texts).index, names))
            bar.update(len(sources))
    # Sorting is ten times as fast as numpy's own functions for sets.
    return texts, {name: np.sort(np.concatenate(parts)) for name, parts in hashes.items()}


def notes(texts: dict[str, ParallelText], hashes: dict[str, np.ndarray]) -> Iterator[str]:
    """What a user should know of, and need not put right: empty, repeated and leaked pairs."""
    for name, text in texts.items():
        if text.empty:
            yield f"{name}: {text.empty:,} pairs have an empty side"
        if repeated := int((hashes[name][1:] == hashes[name][:-1]).sum()):
            yield f"{name}: {repeated:,} pairs are there more than once"
    train = hashes.get("train")
    for name, text in texts.items():
        if name != "train" and train is not None:
            first, last = (train.searchsorted(hashes[name], side) for side in ("left", "right"))
            if leaked := int((first < last).sum()):
                yield f"{name}: {leaked:,} of {len(text):,} pairs are also in train"
