"""The formats of parallel text: how each is recognised, and what it holds.

A new format is one file, and needs no change here: `seq2seq.data.load(folder, format=...)` takes any
`common.data.formats.Format` whose reader is called as (files, source, target) and returns a `Reading`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from common.data.damage import Damage
from common.data.formats import Format, Parts, by_split, only, plain_name, with_suffix
from common.data.pairs import AlignedLines, PairReader, RecordPairs, texts_in
from common.data.reading import check_readable, first_lines
from common.data.records import Records, Table, json_lines, json_object, tabbed_lines
from common.data.splits import split_name
from common.errors import UserError


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


def choose(
    path: Path, there: Iterable[str], source: str | None, target: str | None, what: str
) -> tuple[str, str]:
    """The two languages to translate between.

    Args:
        path: for messages.
        there: the languages that the data has.
        source, target: as the user names them; None takes what is left, if there are only two.
        what: a word for them in messages: languages, columns, keys.

    Raises:
        UserError: one is not there; or there are more than two, and not all are named.
    """
    there = list(dict.fromkeys(there))
    names = ", ".join(there)
    if len(there) < 2:
        raise UserError(f"{path}: no two {what} in it, but {names or 'none'}.")
    for name in (source, target):
        if name is not None and name not in there:
            raise UserError(f"{path}: no {name!r} among the {what} {names}.")
    if source is not None and source == target:
        raise UserError(f"{path}: source and target are both {source!r}; name two {what}.")
    if len(there) > 2 and (source is None or target is None):
        raise UserError(
            f"{path}: the {what} {names} are there. Name two of them, --source and --target "
            "(source= and target= in code)."
        )
    rest = [name for name in there if name not in (source, target)]
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
        reading.notes.append(f"left out, because {source} or {target} is missing: {stem}")
    splits: dict[str | None, str] = {}
    for stem, each in both.items():
        split = split_name(stem) if len(both) > 1 or _names_split(stem) else None
        if split in splits:
            only([both[splits[split]][source], each[source]], f"text of the split {split}")
        splits[split] = stem
        reading.readers.append(AlignedLines(each[source], each[target], split))
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


# ---- files with a record for each pair: one file for each split, or one for all


def _parts(files: list[Path], what: str) -> Parts:
    """The files with their splits; None where it is found pair by pair.

    Raises:
        UserError: it is not clear which file is meant, or one is UTF-16 or a damaged `.gz`.
    """
    for file in files:
        check_readable(file)
    return by_split(files, what)


def _reading(parts: Parts, languages: tuple[str, str], read: Callable[[Path], Records]) -> Reading:
    return Reading(
        *languages, [RecordPairs(path, read, *languages, split) for split, path in parts]
    )


def _first_usable(
    path: Path, names_in: Callable[[str], list[str]], *named: str | None
) -> list[str]:
    """What the texts are called in the first line that has two of them, those named included.

    A damaged line, the first as well, decides nothing. If no line is usable, these are the names in
    the line that has most.
    """
    lines = [names_in(line) for line in first_lines(path)]
    usable = (names for names in lines if len(names) > 1 and set(named) - {None} <= set(names))
    return next(usable, max(lines, key=len, default=[]))


# ---- jsonl: a line of JSON per pair


def _find_jsonl(files: Sequence[Path]) -> list[Path]:
    lines = with_suffix(files, ".jsonl")
    return [file for file in lines if len(_first_usable(file, _text_keys)) > 1]


def _text_keys(line: str) -> list[str]:
    """The keys that have text, those of the split and the like left out."""
    try:
        texts = texts_in(json_object(line))
    except Damage:
        return []
    return [key for key, text in texts.items() if isinstance(text, str) and _is_text(key)]


def _is_text(column: str) -> bool:
    return column.strip().lower() not in ("", "split", "id", "index", "label")


def read_jsonl(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Lines `{"en": ..., "de": ...}`, also within a `"translation"`, perhaps with a `"split"`."""
    parts = _parts(files, "file of JSON lines")
    keys = _first_usable(parts[0][1], _text_keys, source, target)
    return _reading(parts, choose(parts[0][1], keys, source, target, "keys"), json_lines)


# ---- csv: a table with named columns


def _find_csv(files: Sequence[Path]) -> list[Path]:
    tables = [file for file in with_suffix(files, ".csv") if len(_columns(file)) > 1]
    return tables or [
        file
        for file in with_suffix(files, ".tsv", ".tab")
        if len(names := _columns(file)) > 1 and all(map(_is_column_name, names))
    ]


def _columns(path: Path) -> tuple[str, ...]:
    """The columns of a table; none if it cannot be read as text."""
    return Table(path, errors="replace").columns if first_lines(path) else ()


def _is_column_name(name: str) -> bool:
    """Whether the text is the name of a column rather than a sentence."""
    usual = "source target src tgt split id index label source_text target_text"
    return name in usual.split() or re.fullmatch(r"[a-z]{2,3}([-_]\w{2,8})?", name) is not None


def read_csv(files: list[Path], source: str | None, target: str | None) -> Reading:
    """A first line that names the columns, and a row per pair, perhaps with a column `split`."""
    parts = _parts(files, "table of pairs")
    texts = [name for name in Table(parts[0][1]).columns if _is_text(name)]
    languages = choose(parts[0][1], texts, source, target, "columns")
    for table in (Table(path) for _, path in parts):
        if not set(languages) <= set(table.columns):
            raise UserError(
                f"{table.path}:{table.header}: the first line must name the columns "
                f"{', '.join(languages)}."
            )
    return _reading(parts, languages, Table)


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
    """Lines `Hello.<TAB>Hallo.<TAB>attribution`; other columns are named by their numbers."""
    parts = _parts(files, "file of tab-separated pairs")
    numbers = _first_usable(parts[0][1], _column_numbers, source, target)
    if source is None and target is None:
        source, target = "1", "2"
    elif source is None or target is None:
        numbers = numbers[:2]  # the other one; what comes after is an attribution
    languages = choose(parts[0][1], numbers, source, target, "columns")
    width = max(map(int, languages))
    return _reading(parts, languages, partial(tabbed_lines, width=width))


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
