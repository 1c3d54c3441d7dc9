"""Files whose lines are translations of each other: which belong together, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from common.data.formats import only, plain_name, with_suffix
from common.data.pairs import AlignedLines, SourceLines
from common.data.splits import split_name
from seq2seq.blind import names_split, without_target
from seq2seq.columns import CODES, choose
from seq2seq.entries import Reading

_SIDES = ("src", "tgt", "trg", "source", "target")
_ALIGNED = re.compile(r"(.+)\.([A-Za-z]{1,12}(?:[-_][A-Za-z0-9]{2,8})?)")
_NO_LANGUAGE = re.compile(
    "bin|bpe|ckpt|codes|conf|config|csv|doc|docx|html|ids|images|json|jsonl|log|md|model|npy|npz|pdf|"
    "pkl|png|pt|pth|py|rst|safetensors|sgm|sh|tab|tar|tok|token|toml|tsv|txt|vec|vocab|xml|ya?ml|zip"
)


def _by_stem(files: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """The files of each stem by language; a plain file wins over a compressed one."""
    stems: dict[str, dict[str, Path]] = {}
    for file in sorted(files, key=lambda file: (plain_name(file), file.name != plain_name(file))):
        if (found := _side(plain_name(file))) is not None:
            stem, language = found
            stems.setdefault(stem, {}).setdefault(language, file)
    return stems


def _side(name: str) -> tuple[str, str] | None:
    """The stem and the language of a file: of `train.de`, and of `src-train.txt` as OpenNMT has it."""
    plain, is_text = re.subn(r"\.txt$", "", name, flags=re.IGNORECASE)
    words = re.split(r"[-_.]", plain)
    sides = [word for word in words if word.lower() in _SIDES]
    if len(sides) == 1 and words[-1] != sides[0] or is_text and len(sides) == 1:
        rest = "-".join(word for word in words if word != sides[0])
        if is_text or names_split(rest) and len(words) == 2:  # source.train, and not source.de
            return rest or "train", sides[0]
    if is_text and words[-1].lower() in CODES and len(words) > 1:  # train.de.txt
        return plain[: -1 - len(words[-1])], words[-1]
    match = _ALIGNED.fullmatch(name)
    if match is None or is_text or _NO_LANGUAGE.fullmatch(match[2].lower()):
        return None
    return match[1], match[2]


def find_lines(files: Sequence[Path]) -> list[Path]:
    """The files of every stem that has two languages, and those of a split that lack the other side,
    which are noted."""
    stems = _by_stem(files)
    known = {name for languages in stems.values() if len(languages) > 1 for name in languages}
    if not known and not with_suffix(files, ".jsonl", ".json", ".csv", ".tsv", ".tab"):
        # Sources alone, whose translations are to be found.
        known = {name for languages in stems.values() for name in languages}
    return [
        file
        for stem, languages in stems.items()
        if len(languages) > 1 or known >= languages.keys() and names_split(stem)
        for file in languages.values()
    ]


def read_lines(files: list[Path], source: str | None, target: str | None) -> Reading:
    """`train.de` and `train.en`, or `src-train.txt` and `tgt-train.txt`, plain or `.gz`, and others for
    val and test: every stem is a split."""
    stems = _by_stem(files)
    # The languages are those of the training text, if there is one: other files may have others.
    train = [stem for stem in stems if split_name(stem) == "train"]
    there = [name for stem in train or stems for name in stems[stem]]
    if not (source and target and {*there} == {source}):
        source, target = choose(files[0].parent, there, source, target, "languages")
    reading = Reading(source, target)
    both = {stem: each for stem, each in stems.items() if {source, target} <= set(each)}
    blind = without_target(stems, source, both)
    for stem in stems.keys() - both.keys() - blind.keys():
        reading.notes.append(f"left out, because {source} or {target} is missing: {stem}")
    splits: dict[str | None, str] = {}
    for stem, each in both.items():
        split = split_name(stem) if len(both) > 1 or names_split(stem) else None
        if split in splits:
            only([both[splits[split]][source], each[source]], f"text of the split {split}")
        splits[split] = stem
        reading.readers.append(AlignedLines(each[source], each[target], split))
    for stem, file in blind.items():
        reading.readers.append(SourceLines(file, split_name(stem)))
    return reading
