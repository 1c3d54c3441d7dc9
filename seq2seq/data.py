"""Parallel text: what a data set of sentence pairs is, and how one is loaded from a folder."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, compress, islice, repeat
from typing import Any, ClassVar

import numpy as np

from common.data.damage import Tally
from common.data.dataset import DataSet
from common.data.encodings import named_encoding, text_encoding
from common.data.formats import Format, find_format
from common.data.pairs import Pair, PairReader
from common.data.reading import decode_line
from common.data.splits import SeededSplits, check_fractions, divided_split, in_order
from common.errors import UserError
from common.files import expanded
from common.progress import Bar
from seq2seq.formats import FORMATS, Read

__all__ = ["Pair", "ParallelData", "ParallelText", "load"]

VAL_FRACTION = 0.05  # of pairs without splits, or without val
MOST_HELD_OUT = 5000  # pairs of a val or test that is chosen here: each validation translates them
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
        self.encoding = named_encoding() or None
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

    @property
    def blind(self) -> bool:
        """Whether no sentence has a translation."""
        return len(self) > 0 and not self.words[1]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Pair]:
        count = 0
        # Lines that were added since are counted too.
        splits = chain(self.splits, repeat(self.number))
        blocks = self.reader.blocks(Tally())
        with text_encoding(self.encoding):  # in which files are opened: by the first block
            first = [*islice(blocks, 1)]
        for sources, targets, _ in chain(first, blocks):
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
    reader: PairReader, split_of: Callable[[str | None, str], str], damage: Tally
) -> tuple[dict[str, ParallelText], dict[str, np.ndarray]]:
    """Read a file, and count the pairs of each split in it.

    Memory use: 9 bytes a pair.

    Args:
        reader: of the file.
        split_of: from the split that the file names, or None, and the source sentence to the split.
        damage: counts the pairs, and gets a line for each damaged one.

    Returns:
        The splits, and sorted hashes of their pairs, as from `ParallelText.add`.

    Raises:
        UserError: there are more than 255 splits.
    """
    numbers = array("B")  # for each pair the number of its split
    texts: dict[str, ParallelText] = {}
    hashes: dict[str, list[np.ndarray]] = {}
    with Bar(f"reading {reader.name}", unit="pairs", delay=1.0) as bar:
        for sources, targets, splits in reader.blocks(damage):
            both = zip(splits, sources, strict=True)
            names = [split_of(split, source.decode()) for split, source in both]
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
            bar.advance(len(sources))
    # Sorting is ten times as fast as numpy's own functions for sets.
    return texts, {name: np.sort(np.concatenate(parts)) for name, parts in hashes.items()}


def notes(texts: dict[str, ParallelText], hashes: dict[str, np.ndarray]) -> Iterator[str]:
    """What a user should know of, and need not put right: empty, repeated and leaked pairs."""
    for name, text in texts.items():
        if text.blind:
            yield f"{name}: no sentence has a reference translation"
        elif text.empty:
            yield f"{name}: {text.empty:,} pairs have an empty side"
        if repeated := int((hashes[name][1:] == hashes[name][:-1]).sum()):
            yield f"{name}: {repeated:,} pairs are there more than once"
    train = hashes.get("train")
    for name, text in texts.items():
        if name != "train" and train is not None:
            first, last = (train.searchsorted(hashes[name], side) for side in ("left", "right"))
            if leaked := int((first < last).sum()):
                yield f"{name}: {leaked:,} of {len(text):,} pairs are also in train"


@dataclass
class ParallelData(DataSet[ParallelText]):
    """A data set of sentence pairs; see `DataSet`.

    Args:
        source_language, target_language: as the data names them, by file, column or key.
    """

    source_language: str = "source"
    target_language: str = "target"

    advice: str = field(
        default=" A split is a file, or a pair of files, that is called so, or a column split.",
        kw_only=True,
    )

    item: ClassVar[str] = "pair"

    def translated(self, name: str) -> ParallelText:
        """The pairs of a split that has translations.

        Raises:
            UserError: as `split`; or it has none, as a blind test has.
        """
        text = self.split(name)
        if text.blind:
            raise UserError(
                f"the {len(text):,} sentences of {name} in {self.name} have no translations: they can "
                "be translated, but not learnt from, and what is written cannot be scored."
            )
        return text

    def table(self) -> list[str]:
        """The pairs and the words of each split."""
        languages = (self.source_language, self.target_language)
        columns = "".join(f"{f'{name} words (longest)':>24}" for name in languages)
        lines = [
            f"{self.name} ({self.format}): {' to '.join(languages)}",
            f"{'split':<20}{'pairs':>12}{columns}",
        ]
        for name, text in self.splits.items():
            words = [
                f"{total / max(1, len(text)):.1f} ({longest:,})"
                for total, longest in zip(text.words, text.longest, strict=True)
            ]
            lines.append(f"{name:<20}{len(text):>12,}{words[0]:>24}{words[1]:>24}")
        return lines


def load(
    path: str | os.PathLike[str],
    format: str | Format[Read] | None = None,
    *,
    source: str | None = None,
    target: str | None = None,
    seed: int = 0,
    val_fraction: float | None = None,
    test_fraction: float = 0.05,
    max_problems: float = 0.01,
    encoding: str | None = None,
) -> ParallelData:
    """Load parallel text.

    All of it is read once, for its counts and its digest, and none is kept in memory.

    Args:
        path: its folder; or, if a folder holds several data sets, the file with the pairs.
        format: phrases, lines, jsonl, json, csv or tabs, or a format of your own (`seq2seq.formats`);
            None recognises it.
        source, target: the languages as the data names them: the ends of file names, keys, columns,
            or the numbers of tab-separated columns. Needed if there are more than two.
        seed: of the splits that are drawn.
        val_fraction: fraction of the sentences in val, for data without splits, of those in train
            where there is no val, and of those in val where there is no train; at most 5,000 pairs, for
            each validation translates them all, and at least one, if another is left. None: 0.05 for
            data without splits, and other data stay as they are.
        test_fraction: fraction of the sentences in test, for data without splits; at most 5,000
            pairs.
        max_problems: fraction of damaged pairs that are skipped (and listed in `problems`);
            more are an error.
        encoding: of the files, by a name that Python knows; None: UTF-8, or UTF-16 where a file is in
            it.

    Raises:
        UserError: no folder, no known format or encoding, no pair, or too much damage.
    """
    path = expanded(path)
    fraction = VAL_FRACTION if val_fraction is None else val_fraction
    check_fractions(fraction, test_fraction, max_problems, "pair")
    with text_encoding(encoding):
        found = find_format(path, FORMATS, format, what="parallel text")
        reading = found.format.read(found.files, source, target)
        damage = Tally()
        origin: str | None = None  # the split that is divided; at first the pairs that are in none
        drawn = SeededSplits(seed, fraction, test_fraction, MOST_HELD_OUT)

        def split_of(named: str | None, sentence: str) -> str:
            # By the source alone: no sentence is in training and in test, however it is translated.
            return drawn(" ".join(sentence.casefold().split())) if named == origin else str(named)

        texts, hashes = _read_all(reading.readers, split_of, damage)
        if not drawn.used and (origin := divided_split(texts, val_fraction)):
            drawn = SeededSplits(seed, fraction, 0.0, MOST_HELD_OUT)
            texts, hashes = _read_all(reading.readers, split_of, Tally())  # its problems are known
        if drawn.settle():
            texts, hashes = _read_all(reading.readers, split_of, Tally())
        remarks = [*reading.notes, *found.notes(), *notes(texts, hashes)]
        data = ParallelData(
            found.name, found.format.name, texts, {"pairs": damage}, remarks,
            reading.source, reading.target,
        )  # fmt: skip
        data.note_splits(drawn, origin, given=val_fraction not in (None, VAL_FRACTION))
        data.check(path, max_problems, found.files)
        return data


def _read_all(
    readers: Iterable[PairReader], split_of: Callable[[str | None, str], str], damage: Tally
) -> tuple[dict[str, ParallelText], dict[str, np.ndarray]]:
    """`survey` of several files.

    Raises:
        UserError: two of them have the same split, or as `survey`.
    """
    texts: dict[str, ParallelText] = {}
    hashes: dict[str, np.ndarray] = {}
    for reader in readers:
        several, theirs = survey(reader, split_of, damage)
        if both := texts.keys() & several.keys():
            raise UserError(f"{reader.name}: the split {both.pop()} is in another file too.")
        texts, hashes = in_order(texts | several), hashes | theirs
    return texts, hashes
