"""Blind tests: splits of parallel text that have sources and no targets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.data.formats import plain_stem
from common.data.records import Fields
from common.data.splits import split_name
from seq2seq.columns import is_text


def names_split(stem: str) -> bool:
    return re.search("train|dev|val|test|eval", stem.lower()) is not None


def without_target(
    stems: dict[str, dict[str, Path]], source: str, both: dict[str, dict[str, Path]]
) -> dict[str, Path]:
    """The sources of blind tests: splits that are named so, and have no target."""
    splits = {split_name(stem) for stem in both} | {"train"}
    blind: dict[str, Path] = {}
    for stem, each in stems.items():
        if names_split(stem) and source in each and split_name(stem) not in splits:
            splits.add(split_name(stem))
            blind[stem] = each[source]
    return blind


def names_of_texts(texts: Fields) -> list[str]:
    return [key for key, text in texts.items() if isinstance(text, str) and is_text(key)]


def with_blind(names: dict[Path, Sequence[str]]) -> list[Path]:
    """Of files with the names of their texts: those with two, and those of splits that lack one."""
    found = [file for file, each in names.items() if len(each) > 1]
    known = {name for file in found for name in names[file]}
    blind = (f for f, each in names.items() if split_name(plain_stem(f)) in ("val", "test"))
    return [*found, *(f for f in blind if f not in found and known.intersection(names[f]))]


def is_blind(split: str | None, records: Iterable[Fields], source: str) -> bool:
    """Whether a file is of a split other than train, and has no texts but sources: one with others may
    have targets by another name."""
    blind = split not in (None, "train")
    return blind and all(names_of_texts(texts) == [source] for texts in records)
