"""The formats in which people have parallel text: how each is recognised, and what it holds."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.data.damage import Damage
from common.data.formats import Format, only, plain_name
from common.data.pairs import AlignedLines, JsonPairs, Reader, TabbedPairs, TablePairs
from common.data.reading import LineFile, first_line, first_lines, header_line, json_object
from common.data.splits import USUAL, split_name
from common.errors import UserError


@dataclass
class Reading:
    """What a folder holds.

    Args:
        source, target: the languages; or the columns, or keys, that stand for them.
        parts: readers, each with its split; None where it is found pair by pair.
        notes: remarks on what is unusual, but no damage.
    """

    source: str
    target: str
    parts: list[tuple[str | None, Reader]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Read = Callable[[list[Path], str | None, str | None], Reading]


def choose(
    folder: Path, there: Iterable[str], source: str | None, target: str | None, what: str
) -> tuple[str, str]:
    """The two languages to translate between.

    Args:
        folder: for messages.
        there: the languages that the data has.
        source, target: as the user names them; None where that is left to us.
        what: they are, for messages: languages, columns, keys.

    Raises:
        UserError: one is not there; or there are more than two, and not all is named.
    """
    there = list(dict.fromkeys(there))
    if len(there) < 2:
        raise UserError(f"{folder}: no two {what} in it, but {', '.join(there) or 'none'}.")
    for name in (source, target):
        if name is not None and name not in there:
            raise UserError(f"{folder}: no {name!r} among the {what} {', '.join(there)}.")
    if source is not None and source == target:
        raise UserError(f"{folder}: source and target are both {source!r}; name two {what}.")
    rest = [name for name in there if name not in (source, target)]
    missing = (source is None) + (target is None)
    if len(rest) != missing and missing:
        raise UserError(
            f"{folder}: the {what} {', '.join(there)} are there. Name two of them, "
            "--source and --target (source= and target= in code)."
        )
    return source or rest.pop(0), target or rest.pop(0)


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
    stems = _by_stem(files).values()
    return [file for languages in stems if len(languages) > 1 for file in languages.values()]


def read_lines(files: list[Path], source: str | None, target: str | None) -> Reading:
    """`train.de` and `train.en`, plain or `.gz`, `val.de` ...: every stem is a split."""
    stems = _by_stem(files)
    # The languages are those of the training text, if there is one: other files may have others.
    train = [stem for stem in stems if split_name(stem) == "train"]
    there = [name for stem in train or stems for name in stems[stem]]
    source, target = choose(files[0].parent, there, source, target, "languages")
    reading = Reading(source, target)
    both = {stem: each for stem, each in stems.items() if {source, target} <= set(each)}
    for stem in stems.keys() - both.keys():
        reading.notes.append(f"left out, for want of {source} or {target}: {stem}")
    splits: dict[str | None, str] = {}
    for stem, each in both.items():
        split = split_name(stem) if len(both) > 1 or _names_split(stem) else None
        if split in splits:
            only([both[splits[split]][source], each[source]], f"text of the split {split}")
        splits[split] = stem
        reading.parts.append((split, AlignedLines(each[source], each[target])))
    return reading


def _names_split(stem: str) -> bool:
    return re.search("train|dev|val|test|eval", stem.lower()) is not None


# ---- phrases: generated, English and Korean, as `common.synthetic.phrases` writes them


def _find_phrases(files: Sequence[Path]) -> list[Path]:
    return _find_lines(files) if any(file.name == "phrases.json" for file in files) else []


def read_phrases(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Files of lines, from English to Korean if nothing else is named."""
    if source is None and target is None:
        source, target = "en", "ko"
    return read_lines(files, source, target)


# ---- files with both sentences of a pair: one for each split, or one for all


def _by_split(files: Sequence[Path], what: str) -> list[tuple[str | None, Path]]:
    """The files that are named after splits, or else the only file, which is still to be split."""
    for file in files:
        with LineFile(file) as lines:  # which says what is wrong with a file that is no text
            next(iter(lines), None)
    named = [(split_name(plain_name(file).rsplit(".", 1)[0]), file) for file in files]
    named = [(split, file) for split, file in named if split in USUAL]
    for split, _ in named:
        only([other for name, other in named if name == split], f"{what} of the split {split}")
    if named:
        return sorted(named, key=lambda each: USUAL.index(each[0]))
    return [(None, only(files, what))]


def _ending(files: Sequence[Path], *suffixes: str) -> list[Path]:
    return [file for file in files if plain_name(file).lower().endswith(suffixes)]


def _first_usable(
    path: Path, names_in: Callable[[str], list[str]], *named: str | None
) -> list[str]:
    """What the texts are called in the first line that has two of them, those named included.

    A damaged line is a problem of its own, and nothing to judge the file by: also if it is the
    first. Where no line is usable, these are the names in the one that has most.
    """
    most: list[str] = []
    for line in first_lines(path):
        names = names_in(line)
        if len(names) > 1 and set(named) - {None} <= set(names):
            return names
        most = max(most, names, key=len)
    return most


# ---- jsonl: a line of JSON per pair


def _find_jsonl(files: Sequence[Path]) -> list[Path]:
    return [file for file in _ending(files, ".jsonl") if len(_json_keys(file)) > 1]


def _json_keys(path: Path, *named: str | None) -> list[str]:
    return _first_usable(path, _text_keys, *named)


def _text_keys(line: str) -> list[str]:
    """The keys that have text, those of the split and the like left out."""
    try:
        record = json_object(line)
    except Damage:
        return []
    texts = record.get("translation", record)
    if not isinstance(texts, dict):
        return []
    return [key for key, text in texts.items() if isinstance(text, str) and not _is_no_text(key)]


def _is_no_text(column: str) -> bool:
    return column.strip().lower() in ("", "split", "id", "index", "label")


def read_jsonl(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Lines `{"en": ..., "de": ...}`, also within a `"translation"`, perhaps with a `"split"`."""
    parts = _by_split(files, "file of JSON lines")
    keys = _json_keys(parts[0][1], source, target)
    source, target = choose(parts[0][1], keys, source, target, "keys")
    return Reading(
        source, target, [(split, JsonPairs(path, source, target)) for split, path in parts]
    )


# ---- csv: a table with named columns


def _find_csv(files: Sequence[Path]) -> list[Path]:
    tables = [file for file in _ending(files, ".csv") if len(_shape(first_line(file))[1]) > 1]
    return tables or [
        file
        for file in _ending(files, ".tsv", ".tab")
        if len(names := _shape(first_line(file))[1]) > 1 and all(map(_is_column_name, names))
    ]


def _is_column_name(name: str) -> bool:
    """Whether it is rather the name of a column than a sentence, where both would be possible."""
    usual = "source target src tgt split id index label source_text target_text"
    return name in usual.split() or re.fullmatch(r"[a-z]{2,3}([-_]\w{2,8})?", name) is not None


def _shape(header: str) -> tuple[str, tuple[str, ...]]:
    """The delimiter of a table and the names of its columns."""
    delimiter = "\t" if "\t" in header else "," if "," in header else ";"
    try:
        return delimiter, tuple(
            name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])
        )
    except csv.Error:
        return delimiter, ()


def read_csv(files: list[Path], source: str | None, target: str | None) -> Reading:
    """A first line that names the columns, and a row per pair, perhaps with a column `split`."""
    parts = _by_split(files, "table of pairs")
    _, columns = _shape(header_line(parts[0][1])[1])
    texts = [name for name in columns if not _is_no_text(name)]
    source, target = choose(parts[0][1], texts, source, target, "columns")
    reading = Reading(source, target)
    for split, path in parts:
        number, header = header_line(path)
        delimiter, columns = _shape(header)
        if not {source, target} <= set(columns):
            raise UserError(
                f"{path}:{number}: the first line must name the columns {source}, {target}."
            )
        reading.parts.append((split, TablePairs(path, delimiter, columns, source, target)))
    return reading


# ---- tabs: pairs between tabs, as Tatoeba's sentences come from Anki's site


def _find_tabs(files: Sequence[Path]) -> list[Path]:
    return [file for file in _ending(files, ".txt", ".tsv", ".tab") if _is_tabbed(file)]


def _is_tabbed(path: Path) -> bool:
    # Not by the first line, which may be damaged; nor by any, for texts about the data are indented.
    tabs = ["\t" in line for line in first_lines(path)]
    return 0 < len(tabs) <= 2 * sum(tabs)


def _column_numbers(line: str) -> list[str]:
    return [str(number) for number in range(1, line.count("\t") + 2)]


def read_tabs(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Lines `Hello.<TAB>Hallo.<TAB>attribution`; other columns are named by their numbers."""
    parts = _by_split(files, "file of pairs between tabs")
    numbers = _first_usable(parts[0][1], _column_numbers, source, target)
    if source is None and target is None:
        source, target = "1", "2"
    elif source is None or target is None:
        numbers = numbers[:2]  # the other one; what comes after is an attribution
    source, target = choose(parts[0][1], numbers, source, target, "columns")
    readers = [(split, TabbedPairs(path, int(source), int(target))) for split, path in parts]
    return Reading(source, target, list(readers))


FORMATS: tuple[Format[Read], ...] = (
    Format("phrases", "phrases.json, train.en, train.ko", _find_phrases, (), read_phrases),
    Format("lines", "train.de and train.en, plain or .gz", _find_lines, (), read_lines),
    Format("jsonl", 'a .jsonl file: {"en": ..., "de": ...}', _find_jsonl, (".jsonl",), read_jsonl),
    Format(
        name="csv",
        looks_like='a .csv file, first line "en,de"',
        find=_find_csv,
        suffixes=(".csv", ".tsv", ".txt"),
        read=read_csv,
    ),
    Format(
        name="tabs",
        looks_like="a .txt or .tsv file: Hello.<TAB>Hallo.",
        find=_find_tabs,
        suffixes=(".txt", ".tsv", ".tab"),
        read=read_tabs,
    ),
)
