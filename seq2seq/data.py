"""Parallel text: what a data set of sentence pairs is, and how one is loaded from a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.data.dataset import DataSet
from common.data.formats import Format, find_format
from common.data.pairs import Pair
from common.data.splits import SeededSplits, check_fractions, in_order
from common.errors import UserError
from seq2seq.formats import FORMATS, Read
from seq2seq.survey import ParallelText, notes, survey

__all__ = ["Pair", "ParallelData", "ParallelText", "load"]

MOST_HELD_OUT = 5000  # pairs of a val or test that is chosen here: each validation translates them


@dataclass
class ParallelData(DataSet[ParallelText]):
    """A data set of sentence pairs; see `DataSet`.

    Args:
        source_language, target_language: as the data names them, by file, column or key.
    """

    source_language: str = "source"
    target_language: str = "target"

    item: ClassVar[str] = "pair"
    advice: ClassVar[str] = (
        " A split is a file, or a pair of files, that is called so: add it, or name the files after "
        "no split, and 5 % of the pairs become val."
    )

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
    val_fraction: float = 0.05,
    test_fraction: float = 0.05,
    max_problems: float = 0.01,
) -> ParallelData:
    """Load parallel text.

    All of it is read once, for its counts and its digest, and none is kept in memory.

    Args:
        path: its folder; or, if a folder holds several data sets, the file with the pairs.
        format: phrases, lines, jsonl, csv or tabs, or a format of your own (`seq2seq.formats`); None
            recognises it.
        source, target: the languages as the data names them: the ends of file names, keys, columns,
            or the numbers of tab-separated columns. Needed if there are more than two.
        seed: of the splits, for data without splits.
        val_fraction: fraction of the sentences in val, for data without splits; at most 5,000
            pairs, for each validation translates them all.
        test_fraction: fraction of the sentences in test, for data without splits; at most 5,000
            pairs.
        max_problems: fraction of damaged items that are skipped (and listed in `problems`);
            more are an error.

    Raises:
        UserError: no folder, no known format, no pair, or too much damage.
    """
    path = Path(path)
    check_fractions(val_fraction, test_fraction, max_problems, "pair")
    found = find_format(path, FORMATS, format, what="parallel text")
    reading = found.format.read(found.files, source, target)
    seeded = SeededSplits(seed, val_fraction, test_fraction, MOST_HELD_OUT)

    def split_of(sentence: str) -> str:
        # By the source alone: no sentence is in training and in test, however it is translated.
        return seeded(" ".join(sentence.casefold().split()))

    texts: dict[str, ParallelText] = {}
    hashes: dict[str, np.ndarray] = {}
    problems: list[str] = []
    for reader in reading.readers:
        several, theirs = survey(reader, split_of, problems)
        if seeded.limit():  # the file is read again; its problems are known
            several, theirs = survey(reader, split_of, [])
        if both := texts.keys() & several.keys():
            raise UserError(f"{reader.name}: the split {both.pop()} is in another file too.")
        texts, hashes = in_order(texts | several), hashes | theirs
    data = ParallelData(
        found.name,
        found.format.name,
        texts,
        problems,
        [*reading.notes, *found.notes(), *notes(texts, hashes)],
        reading.source,
        reading.target,
    )
    data.check(path, max_problems)
    return data
