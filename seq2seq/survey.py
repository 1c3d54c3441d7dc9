"""The first reading of the files: which pairs are in each split, how many, and their digest."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, compress, repeat

import numpy as np
from tqdm import tqdm

from common.data.pairs import Pair, PairReader
from common.data.reading import decode_line
from common.errors import UserError

_BLANK = 32  # this byte and those below it: the blank, tabs, line ends, control characters
_MOST_SPLITS = 255


@dataclass(frozen=True)
class SplitPairs:
    """The pairs of one split of a file, read from disk at each iteration.

    Args:
        reader: of the file.
        splits: the number of the split of each of its pairs, one byte each.
        number: of this split.
    """

    reader: PairReader
    splits: array[int]
    number: int

    def __iter__(self) -> Iterator[Pair]:
        # Lines that were added since are counted too, so that `ParallelText` notices them.
        splits = chain(self.splits, repeat(self.number))
        for sources, targets, _ in self.reader.blocks([]):
            for source, target, split in zip(sources, targets, splits, strict=False):
                if split == self.number:
                    yield Pair(decode_line(source), decode_line(target))


class Survey:
    """Counts and a digest of the pairs of a split, in 8 bytes of memory a pair.

    Attributes:
        pairs: the pairs, read anew at each iteration.
        count: how many there are.
        empty: how many have a side without words; words are what blanks separate.
        words: (source, target) of all pairs.
        longest: (source, target) the words of the longest sentence.
    """

    def __init__(self, pairs: SplitPairs) -> None:
        self.pairs = pairs
        self.count = self.empty = 0
        self.words, self.longest = [0, 0], [0, 0]
        self._digests = [hashlib.blake2b(digest_size=16) for _ in range(2)]
        self._hashes = array("q")

    def add(self, sources: list[bytes], targets: list[bytes]) -> None:
        """Count some more pairs; each sentence is one line, with or without its end."""
        usable = np.ones(len(sources), bool)
        for side, lines in enumerate((sources, targets)):
            text = b"\n".join(lines) + b"\n"
            self._digests[side].update(text)
            words = _words_by_line(text, lines)
            usable &= words > 0
            self.words[side] += int(words.sum())
            self.longest[side] = max(self.longest[side], int(words.max(initial=0)))
        hashes = np.fromiter(map(hash, zip(sources, targets, strict=True)), np.int64, len(sources))
        self._hashes.frombytes(hashes[usable].tobytes())
        self.count += len(sources)
        self.empty += int((~usable).sum())

    @property
    def digest(self) -> str:
        """Equal where the same pairs come in the same order."""
        both = b"".join(digest.digest() for digest in self._digests)
        return hashlib.blake2b(both, digest_size=16).hexdigest()

    def repeated(self) -> int:
        """How many pairs occur earlier in the split already."""
        hashes = self._sorted()
        return int((hashes[1:] == hashes[:-1]).sum())

    def also_in(self, other: Survey) -> int:
        """How many pairs are in another split as well."""
        mine, theirs = self._sorted(), other._sorted()
        ends = (theirs.searchsorted(mine, side) for side in ("left", "right"))
        return int(np.not_equal(*ends).sum())

    def _sorted(self) -> np.ndarray:
        # Sorting is ten times as fast as numpy's own functions for sets.
        return np.sort(np.frombuffer(self._hashes, np.int64))


def _words_by_line(text: bytes, lines: list[bytes]) -> np.ndarray:
    """(N,) the words of each of N lines; `text` is all of them, with a line end after each."""
    blank = np.frombuffer(text, np.uint8) <= _BLANK
    starts = np.concatenate([~blank[:1], blank[:-1] & ~blank[1:]])
    ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1)
    return np.diff(np.searchsorted(np.flatnonzero(starts), ends), prepend=0)


def survey(
    reader: PairReader, split_of: Callable[[str], str], problems: list[str]
) -> dict[str, Survey]:
    """Read a file and survey each split in it.

    Args:
        reader: of the file.
        split_of: from a source sentence to its split, where the file names none.
        problems: gets a line for each damaged pair.

    Raises:
        UserError: there are more than 255 splits.
    """
    numbers = array("B")  # for each pair the number of its split
    found: dict[str, Survey] = {}
    with tqdm(
        desc=f"reading {reader.name}", unit=" pairs", leave=False, delay=1.0, disable=None
    ) as bar:
        for sources, targets, splits in reader.blocks(problems):
            names = [
                split or split_of(source.decode())
                for split, source in zip(splits, sources, strict=True)
            ]
            for name in dict.fromkeys(names):
                if name not in found and len(found) == _MOST_SPLITS:
                    raise UserError(
                        f"{reader.name}: more than {_MOST_SPLITS} splits. Is {name!r} one?"
                    )
                if name not in found:
                    found[name] = Survey(SplitPairs(reader, numbers, len(found)))
                chosen = [each == name for each in names]
                found[name].add([*compress(sources, chosen)], [*compress(targets, chosen)])
            numbers.extend(found[name].pairs.number for name in names)
            bar.update(len(sources))
    return found
