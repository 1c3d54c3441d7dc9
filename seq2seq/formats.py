"""The formats of parallel text: how each is recognised, and what it holds.

A new format is one file, and needs no change here: `seq2seq.data.load(folder, format=...)` takes any
`common.data.formats.Format` whose reader is called as (files, source, target) and returns a `Reading`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from common.data.damage import Damage
from common.data.formats import Format, Parts, by_split, only, plain_name, with_suffix
from common.data.pairs import AlignedLines, PairReader, RecordPairs, SourceLines, texts_in
from common.data.reading import check_readable, first_lines
from common.data.records import (
    Fields,
    Records,
    Table,
    json_lines,
    json_object,
    tabbed_lines,
)
from common.data.splits import split_name
from common.errors import UserError
from seq2seq.blind import is_blind, names_of_texts, names_split, with_blind, without_target
from seq2seq.columns import choose, choose_columns, names_columns


@dataclass
class Reading:
    """What a folder holds.

    Args:
        source, target: the languages; or the columns, or keys, that stand for them.
        readers: of its files.
        notes: remarks on what is unusual, but no damage.
    """

    source: str
    target: str
    readers: list[PairReader] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Read = Callable[[list[Path], str | None, str | None], Reading]


# ---- lines: files whose lines are translations of each other

_ALIGNED = re.compile(r"(.+)\.([A-Za-z]{1,12}(?:[-_][A-Za-z0-9]{2,8})?)")
_NO_LANGUAGE = re.compile(
    "bin|bpe|ckpt|codes|conf|config|csv|doc|docx|html|ids|images|json|jsonl|log|md|model|npy|npz|pdf|"
    "pkl|png|pt|pth|py|rst|safetensors|sgm|sh|tab|tar|tok|token|toml|tsv|txt|vec|vocab|xml|ya?ml|zip"
)


def _by_stem(files: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """The files of each stem by language; a plain file wins over a compressed one."""
    stems: dict[str, dict[str, Path]] = {}
    for file in sorted(files, key=lambda file: (plain_name(file), file.name != plain_name(file))):
        match = _ALIGNED.fullmatch(plain_name(file))
        if match is not None and not _NO_LANGUAGE.fullmatch(match[2].lower()):
            stems.setdefault(match[1], {}).setdefault(match[2], file)
    return stems


def _find_lines(files: Sequence[Path]) -> list[Path]:
    stems = _by_stem(files)
    known = {language for each in stems.values() if len(each) > 1 for language in each}
    if not known and not with_suffix(files, ".jsonl", ".csv", ".tsv", ".tab", ".txt"):
        # Sources alone, whose translations are to be found.
        known = {language for each in stems.values() for language in each}
    used = [
        each
        for stem, each in stems.items()
        if len(each) > 1 or (names_split(stem) and known.intersection(each))
    ]
    return [file for each in used for file in each.values()]


def read_lines(files: list[Path], source: str | None, target: str | None) -> Reading:
    """`train.de` and `train.en`, plain or `.gz`, `val.de` ...: every stem is a split."""
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


# ---- phrases: generated, English and Korean, as `common.synthetic.phrases` writes them


def _find_phrases(files: Sequence[Path]) -> list[Path]:
    return _find_lines(files) if any(file.name == "phrases.json" for file in files) else []


def read_phrases(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Files of lines, from English to Korean if nothing else is named."""
    if source is None and target is None:
        source, target = "en", "ko"
    return read_lines(files, source, target)


# ---- files with a record for each pair: one file for each split, or one for all


def _parts(files: list[Path], what: str) -> Parts:
    """The files with their splits; None where it is found pair by pair.

    Raises:
        UserError: it is not clear which file is meant, or one is UTF-16 or a damaged `.gz`.
    """
    for file in files:
        check_readable(file)
    return by_split(files, what)


def _reading(
    parts: Parts,
    languages: tuple[str, str],
    read: Callable[[Path], Records],
    notes: Iterable[str],
) -> Reading:
    readers: list[PairReader] = []
    for split, path in parts:
        records = (texts_in(each) for _, each in read(path) if not isinstance(each, Damage))
        blind = is_blind(split, records, languages[0])
        readers.append(RecordPairs(path, read, *languages, split, blind))
    return Reading(*languages, readers, [*notes])


def _some(records: Records) -> Iterator[Fields]:
    """The first few records that are not damaged, by which columns are told apart."""
    return (texts_in(each) for _, each in islice(records, 100) if not isinstance(each, Damage))


def _usual_names(path: Path, names_in: Callable[[str], list[str]], *named: str | None) -> list[str]:
    """What the texts are called in most of the first lines that have two of them, with those named.

    A damaged line, the first as well, decides nothing. If no line is usable, these are the names in
    the line that has most.
    """
    lines = [tuple(names_in(line)) for line in first_lines(path)]
    usable = [names for names in lines if len(names) > 1 and set(named) - {None} <= set(names)]
    usual = Counter(usable).most_common(1)
    return [*(usual[0][0] if usual else max(lines, key=len, default=()))]


# ---- jsonl: a line of JSON per pair


def _find_jsonl(files: Sequence[Path]) -> list[Path]:
    return with_blind({f: _usual_names(f, _text_keys) for f in with_suffix(files, ".jsonl")})


def _text_keys(line: str) -> list[str]:
    """The keys that have text, those of the split and the like left out."""
    try:
        texts = texts_in(json_object(line))
    except Damage:
        return []
    return names_of_texts(texts)


def read_jsonl(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Lines `{"en": ..., "de": ...}`, also within a `"translation"`, perhaps with a `"split"`."""
    parts = _parts(files, "file of JSON lines")
    path = parts[0][1]
    keys, rows = _usual_names(path, _text_keys, source, target), _some(json_lines(path))
    languages, notes = choose_columns(path, keys, rows, source, target, "keys")
    return _reading(parts, languages, json_lines, notes)


# ---- csv: a table with named columns


def _find_csv(files: Sequence[Path]) -> list[Path]:
    tables = with_blind({file: _columns(file) for file in with_suffix(files, ".csv")})
    return tables or [
        file
        for file in with_suffix(files, ".tsv", ".tab", ".txt")
        if (_is_tabbed(file) or file not in with_suffix([file], ".txt"))
        and names_columns(_rows(file))
    ]


def _rows(path: Path) -> list[list[str]]:
    """The first rows, the header among them."""
    lines = first_lines(path)
    sign = Table(path, errors="replace").delimiter if lines else None
    return [line.split(sign) for line in lines]


def _columns(path: Path) -> tuple[str, ...]:
    """The columns of a table; none if it cannot be read as text."""
    return Table(path, errors="replace").columns if first_lines(path) else ()


def read_csv(files: list[Path], source: str | None, target: str | None) -> Reading:
    """A first line that names the columns, and a row per pair, perhaps with a column `split`."""
    parts = _parts(files, "table of pairs")
    first = Table(parts[0][1])
    languages, notes = choose_columns(
        first.path, first.columns, _some(first), source, target, "columns"
    )
    for split, table in ((split, Table(path)) for split, path in parts):
        blind = is_blind(split, [dict.fromkeys(table.columns, "")], languages[0])
        if not blind and not set(languages) <= set(table.columns):
            raise UserError(
                f"{table.path}:{table.header}: the first line must name the columns "
                f"{', '.join(languages)}."
            )
    notes = notes or [f"{first.path.name}: columns {' and '.join(languages)}"]
    return _reading(parts, languages, Table, [f"{notes[0]}; its first line names them"])


# ---- tabs: tab-separated pairs, as of Tatoeba's sentences at Anki's site


def _find_tabs(files: Sequence[Path]) -> list[Path]:
    return [file for file in with_suffix(files, ".txt", ".tsv", ".tab") if _is_tabbed(file)]


def _is_tabbed(path: Path) -> bool:
    # Not by the first line, which may be damaged; nor by any one, for other texts may be indented.
    tabs = ["\t" in line for line in first_lines(path)]
    return 0 < len(tabs) <= 2 * sum(tabs)


def _column_numbers(line: str) -> list[str]:
    return [str(number) for number in range(1, line.count("\t") + 2)]


def read_tabs(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Lines `Hello.<TAB>Hallo.<TAB>attribution`, or with sentences in two other columns, by number."""
    parts = _parts(files, "file of tab-separated pairs")
    path = parts[0][1]
    numbers, rows = (
        _usual_names(path, _column_numbers, source, target),
        _some(tabbed_lines(path, 1)),
    )
    languages, notes = choose_columns(
        path, numbers, rows, source, target, "columns", first_two=True
    )
    read = partial(tabbed_lines, width=max(map(int, languages)))
    if names_columns(_rows(path)):
        notes = [*notes, f"{path.name}: its first line names the columns, and is no pair"]
        read = partial(_after_header, width=max(map(int, languages)))
    return _reading(parts, languages, read, notes)


def _after_header(path: Path, width: int) -> Records:
    return islice(tabbed_lines(path, width), 1, None)


FORMATS: tuple[Format[Read], ...] = (
    Format("phrases", "phrases.json, train.en, train.ko", _find_phrases, read_phrases),
    Format("lines", "train.de and train.en, plain or .gz", _find_lines, read_lines),
    Format("jsonl", 'a .jsonl file: {"en": ..., "de": ...}', _find_jsonl, read_jsonl, (".jsonl",)),
    Format(
        "csv", 'a .csv file, first line "en,de"', _find_csv, read_csv, (".csv", ".tsv", ".txt")
    ),
    Format(
        "tabs", "a .txt or .tsv file: Hello.<TAB>Hallo.", _find_tabs, read_tabs,
        (".txt", ".tsv", ".tab"),
    ),
)  # fmt: skip
