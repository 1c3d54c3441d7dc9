"""Parallel text: what a data set of sentence pairs is, and how one is loaded from a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.data.damage import check_problems, remarks
from common.data.formats import find_format
from common.data.pairs import AlignedLines, Pair
from common.data.splits import SeededSplits, check_fractions, in_order
from common.errors import UserError
from seq2seq.formats import FORMATS
from seq2seq.survey import Split, Survey, survey_lines, survey_records

__all__ = ["Pair", "ParallelData", "ParallelText", "load"]

MOST_HELD_OUT = 5000  # pairs of a val or test that is chosen here: each validation translates them


@dataclass(frozen=True)
class ParallelText:
    """The sentence pairs of a split: read from disk each time they are gone through.

    A side may be empty: line numbers stay as they are in the files. Going through them raises a
    UserError where the files have become longer or shorter since they were loaded.

    Args:
        name: of the split, for messages.
        pairs: gives them, as often as it is asked to.
        length: how many there are.
        digest: of all sentences: equal where the same pairs come in the same order.
        words: (source, target) of all pairs; words are what blanks separate.
        longest: (source, target) the words of the longest sentence.
    """

    name: str
    pairs: Iterable[Pair]
    length: int
    digest: str
    words: tuple[int, int] = (0, 0)
    longest: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Pair]:
        count = 0
        for pair in self.pairs:
            count += 1
            yield pair
        if count != self.length:
            raise UserError(
                f"{self.name}: {count:,} pairs, where there were {self.length:,} before: the files "
                "have changed while they were in use. Start again."
            )


@dataclass
class ParallelData:
    """A data set of sentence pairs: its splits, and what was wrong with it.

    Args:
        name: of the folder.
        format: as which it was read.
        source_language, target_language: as the data names them, by file, column or key.
        splits: train, val and test, in this order, then any other that the data names.
        problems: damage that was skipped, one line each, with file and line.
        notes: remarks on what is unusual, but no damage.
    """

    name: str
    format: str
    source_language: str
    target_language: str
    splits: dict[str, ParallelText]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def split(self, name: str) -> ParallelText:
        """The pairs of one split.

        Raises:
            UserError: there is no such split, or it is empty.
        """
        pairs = self.splits.get(name)
        if not pairs:
            there = ", ".join(each for each, pairs in self.splits.items() if pairs)
            raise UserError(
                f"{self.name} ({self.format}) has no pairs in a split {name!r}; it has {there}. "
                "A split is a file, or a pair of files, that is called so: add it, or name the files "
                "after no split, and 5 % of the pairs become val."
            )
        return pairs

    def summary(self, problems: int = 5) -> str:
        """A table of the splits, the notes, and the first few problems: several lines."""
        names = [
            f" {name} words (longest)" for name in (self.source_language, self.target_language)
        ]
        lines = [
            f"{self.name} ({self.format}): {self.source_language} to {self.target_language}",
            f"{'split':<20}{'pairs':>12}{names[0]:>24}{names[1]:>24}",
        ]
        for name, each in self.splits.items():
            words = [
                f"{total / max(1, len(each)):.1f} ({longest:,})"
                for total, longest in zip(each.words, each.longest, strict=True)
            ]
            lines.append(f"{name:<20}{len(each):>12,}{words[0]:>24}{words[1]:>24}")
        return "\n".join([*lines, *remarks(self.notes, self.problems, problems)])


def load(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    source: str | None = None,
    target: str | None = None,
    seed: int = 0,
    val_fraction: float = 0.05,
    test_fraction: float = 0.05,
    max_problems: float = 0.01,
) -> ParallelData:
    """Load parallel text.

    All of it is read once, for its counts and its digest; none is kept.

    Args:
        path: its folder; or, where a folder holds several, the file with the pairs.
        format: phrases, lines, jsonl, csv or tabs; None recognises it.
        source, target: the languages as the data names them: the ends of file names, keys, columns,
            or the numbers of columns between tabs. Needed where there are more than two.
        seed: of the split, for data that has none of its own.
        val_fraction: fraction of the sentences in val, for data without splits; at most 5,000
            pairs, for each validation translates them all.
        test_fraction: fraction of the sentences in test, for data without splits; at most 5,000
            pairs.
        max_problems: share of damage that is skipped (and listed in `problems`); more is an error.

    Raises:
        UserError: no folder, no known format, no pair, or too much damage.
    """
    path = Path(path)
    check_fractions(val_fraction, test_fraction, max_problems, "pair")
    found = find_format(path, FORMATS, format, what="parallel text")
    reading = found.format.read(found.files, source, target)
    reading.notes += found.notes()

    seeded = SeededSplits(seed, val_fraction, test_fraction, MOST_HELD_OUT)

    def split_of(pair: Pair) -> str:
        # Of the source alone, so that no sentence is both learnt and tested, however translated.
        return seeded(" ".join(pair.source.casefold().split()))

    surveyed: dict[str, Split] = {}
    problems: list[str] = []
    for split, reader in reading.parts:
        if split is not None and isinstance(reader, AlignedLines):
            surveyed[split] = survey_lines(reader, problems)
        else:
            several = survey_records(reader, split, split_of, problems)
            if seeded.limit():  # the file is gone through again; its problems are known
                several = survey_records(reader, split, split_of, [])
            if both := surveyed.keys() & several.keys():
                raise UserError(f"{reader.name}: the split {both.pop()} is in another file too.")
            surveyed |= several
    usable = sum(each.survey.pairs for each in surveyed.values())
    check_problems(problems, usable, max_problems, str(path))
    if not usable:
        raise UserError(f"{path}: no pair of sentences in it ({found.files[0].name}).")
    splits = in_order(
        {name: _text(name, each) for name, each in surveyed.items() if each.survey.pairs}
    )
    reading.notes += _notes({name: surveyed[name].survey for name in splits})
    name = path.resolve().name if path.is_dir() else path.stem
    return ParallelData(
        name, found.format.name, reading.source, reading.target, splits, problems, reading.notes
    )


def _text(name: str, split: Split) -> ParallelText:
    survey = split.survey
    source, target = survey.sides
    return ParallelText(
        name,
        split.pairs,
        survey.pairs,
        survey.digest,
        words=(source.words, target.words),
        longest=(source.longest, target.longest),
    )


def _notes(surveys: dict[str, Survey]) -> Iterator[str]:
    """What a user should know of, and need not put right."""
    for name, survey in surveys.items():
        if survey.empty:
            yield f"{name}: {survey.empty:,} pairs have an empty side"
        if repeated := survey.repeated():
            yield f"{name}: {repeated:,} pairs are there more than once"
    for name, survey in surveys.items():
        if name != "train" and "train" in surveys and (leaked := survey.also_in(surveys["train"])):
            yield f"{name}: {leaked:,} of {survey.pairs:,} pairs are also in train"
