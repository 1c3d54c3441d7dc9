"""The first time through the files: what is in each split, and what is wrong."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from common.data.damage import Damage, problem
from common.data.pairs import AlignedLines, Pair, Reader, Record
from common.errors import UserError

_BLANK = 32  # this byte and those below it: the blank, tabs, line ends, control characters
_BLOCK = 2000  # pairs that are counted at a time
_MOST_SPLITS = 255
_BAR = {"unit": " pairs", "leave": False, "delay": 1.0, "disable": None}  # short files need no bar


class Side:
    """Counts of the sentences of one language; words are what blanks separate."""

    def __init__(self) -> None:
        self.words = 0
        self.longest = 0
        self.digest = hashlib.blake2b(digest_size=16)

    def add(self, lines: Sequence[bytes]) -> np.ndarray:
        """Count some more lines, with or without their ends: (N,) the words of each."""
        text = b"\n".join(lines) + b"\n"
        self.digest.update(text)
        words = _words_by_line(text, lines)
        self.words += int(words.sum())
        self.longest = max(self.longest, int(words.max(initial=0)))
        return words


def _words_by_line(text: bytes, lines: Sequence[bytes]) -> np.ndarray:
    """(N,) the words of each of N lines; `text` is all of them, with a line end after each."""
    blank = np.frombuffer(text, np.uint8) <= _BLANK
    starts = np.concatenate([~blank[:1], blank[:-1] & ~blank[1:]])
    ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1)
    return np.diff(np.searchsorted(np.flatnonzero(starts), ends), prepend=0)


class Survey:
    """Counts and a digest of sentence pairs, in 8 bytes of memory a pair.

    `pairs` counts them all, `empty` those of which a side has no word.
    """

    def __init__(self) -> None:
        self.pairs = 0
        self.empty = 0
        self.sides = (Side(), Side())
        self._hashes = array("q")

    def add(self, sources: Sequence[bytes], targets: Sequence[bytes]) -> None:
        """Count some more pairs; each sentence is one line, with or without its end."""
        source, target = self.sides
        usable = (source.add(sources) > 0) & (target.add(targets) > 0)
        pairs = zip(sources, targets, strict=True)
        hashes = np.fromiter(map(hash, pairs), np.int64, len(sources))
        self._hashes.frombytes(hashes[usable].tobytes())
        self.pairs += len(sources)
        self.empty += int(len(sources) - usable.sum())

    @property
    def digest(self) -> str:
        """Equal where the same pairs come in the same order."""
        both = b"".join(side.digest.digest() for side in self.sides)
        return hashlib.blake2b(both, digest_size=16).hexdigest()

    def repeated(self) -> int:
        """How many pairs are there once already."""
        hashes = self._sorted()
        return int((hashes[1:] == hashes[:-1]).sum())

    def also_in(self, other: Survey) -> int:
        """How many pairs are in another survey as well."""
        mine, theirs = self._sorted(), other._sorted()
        if not len(theirs):
            return 0
        places = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
        return int((theirs[places] == mine).sum())

    def _sorted(self) -> np.ndarray:
        # Sorting is ten times as fast as numpy's own functions for sets.
        return np.sort(np.frombuffer(self._hashes, np.int64))


@dataclass
class Split:
    """A split: its pairs, read anew each time they are gone through, and what is known of them.

    Args:
        pairs: of the split.
        number: of the split in its file, from 1.
        survey: of the pairs.
    """

    pairs: Iterable[Pair]
    number: int = 1
    survey: Survey = field(default_factory=Survey)


@dataclass(frozen=True)
class AllLines:
    """All pairs of two files."""

    reader: AlignedLines

    def __iter__(self) -> Iterator[Pair]:
        return self.reader.pairs()


@dataclass(frozen=True)
class Chosen:
    """The pairs of one split, out of a file that holds several.

    Args:
        reader: of the file.
        splits: for each of its items the number of its split; one byte each.
        wanted: the number of this split.
    """

    reader: Reader
    splits: array[int]
    wanted: int

    def __iter__(self) -> Iterator[Pair]:
        for split, (_, item) in zip(self.splits, self.reader, strict=False):
            if split == self.wanted and isinstance(item, Record):
                yield item.pair


def survey_lines(reader: AlignedLines, problems: list[str]) -> Split:
    """Go through a split that has files of its own; damage is added to `problems`."""
    split = Split(AllLines(reader))
    with tqdm(desc=f"reading {reader.name}", **_BAR) as bar:
        for first, sources, targets in reader.blocks():
            problems += reader.damage(first, sources, targets)
            split.survey.add(sources, targets)
            bar.update(len(sources))
    return split


def survey_records(
    reader: Reader, whole: str | None, split_of: Callable[[Pair], str], problems: list[str]
) -> dict[str, Split]:
    """Go through a file whose pairs may be of several splits; damage is added to `problems`.

    Args:
        reader: of the file.
        whole: the split of the pairs that name none, if the file is named after one.
        split_of: gives the split of a pair, if neither file nor pair names one.

    Raises:
        UserError: there are more than 255 splits.
    """
    places = array("B")  # for each item the number of its split; 0: damaged
    splits: dict[str, Split] = {}
    waiting: list[list[Pair]] = []
    for name, pair in _assigned(reader, whole, split_of, problems):
        if pair is None:
            places.append(0)
            continue
        if name not in splits:
            if len(splits) == _MOST_SPLITS:
                raise UserError(f"{reader.name}: more than {_MOST_SPLITS} splits. Is {name!r} one?")
            splits[name] = Split(Chosen(reader, places, len(splits) + 1), len(splits) + 1)
            waiting.append([])
        split = splits[name]
        places.append(split.number)
        waiting[split.number - 1].append(pair)
        if len(waiting[split.number - 1]) == _BLOCK:
            _add(split.survey, waiting[split.number - 1])
    for split in splits.values():
        _add(split.survey, waiting[split.number - 1])
    return splits


def _add(survey: Survey, pairs: list[Pair]) -> None:
    survey.add([pair.source.encode() for pair in pairs], [pair.target.encode() for pair in pairs])
    pairs.clear()


def _assigned(
    reader: Reader, whole: str | None, split_of: Callable[[Pair], str], problems: list[str]
) -> Iterator[tuple[str, Pair | None]]:
    """The split of each item, and its pair; none if it is damaged."""
    named: bool | None = None  # whether the pairs name their splits: as the first of them
    for number, item in tqdm(reader, desc=f"reading {reader.name}", **_BAR):
        if isinstance(item, Record) and named is None:
            named = item.split is not None
        if isinstance(item, Record) and whole is None and named != (item.split is not None):
            item = Damage("has a split" if item.split else 'no "split", which other pairs have')
        if isinstance(item, Damage):
            problems.append(problem(f"{reader.name}:{number}", item))
            yield "", None
        else:
            yield item.split or whole or split_of(item.pair), item.pair
