"""The formats of parallel text: how each is recognised, and what it holds.

A new format is one file, and needs no change here: `seq2seq.data.load(folder, format=...)` takes any
`common.data.formats.Format` whose reader is called as (files, source, target) and returns a `Reading`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from common.data.damage import Damage
from common.data.formats import Format, Parts, by_split, with_suffix
from common.data.pairs import PairReader, RecordPairs, texts_in
from common.data.reading import check_readable, first_lines
from common.data.records import (
    Fields,
    Records,
    Table,
    json_lines,
    json_list,
    json_object,
    tabbed_lines,
)
from common.errors import UserError
from seq2seq.aligned import find_lines, read_lines
from seq2seq.blind import is_blind, names_of_texts, with_blind
from seq2seq.columns import choose_columns, names_columns
from seq2seq.entries import Read, Reading

__all__ = ["FORMATS", "Read", "Reading"]

# ---- phrases: generated, English and Korean, as `common.synthetic.phrases` writes them


def _find_phrases(files: Sequence[Path]) -> list[Path]:
    return find_lines(files) if any(file.name == "phrases.json" for file in files) else []


def read_phrases(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Files of lines, from English to Korean if nothing else is named."""
    if source is None and target is None:
        source, target = "en", "ko"
    return read_lines(files, source, target)


# ---- files with a record for each pair: one file for each split, or one for all


def _parts(files: list[Path], what: str) -> Parts:
    """The files with their splits; None where it is found pair by pair.

    Raises:
        UserError: it is not clear which file is meant, or one is a damaged `.gz`.
    """
    for file in files:
        check_readable(file)
    return by_split(files, what)


def _reading(
    parts: Parts,
    languages: tuple[str, str],
    read: Callable[[Path], Records],
    notes: Iterable[str],
    unit: str = ":",
) -> Reading:
    readers: list[PairReader] = []
    for split, path in parts:
        records = (texts_in(each) for _, each in read(path) if not isinstance(each, Damage))
        blind = is_blind(split, records, languages[0])
        readers.append(RecordPairs(path, read, *languages, split, blind, unit))
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
    lines = with_suffix(files, ".jsonl", ".ndjson")
    found = with_blind({file: _usual_names(file, _text_keys) for file in lines})
    # Where each line is an object, an ending for one value is a slip.
    return found or [
        file
        for file in with_suffix(files, ".json")
        if all(len(_text_keys(line)) > 1 for line in first_lines(file)[:2] or [""])
    ]


def _text_keys(line: str) -> list[str]:
    """The keys that have text, those of the split and the like left out."""
    try:
        return _texts_of(json_object(line))
    except Damage:
        return []


def _texts_of(record: Fields) -> list[str]:
    return names_of_texts(texts_in(record))


def read_jsonl(files: list[Path], source: str | None, target: str | None) -> Reading:
    """Lines `{"en": ..., "de": ...}`, also within a `"translation"`, or `["...", "..."]`, perhaps with
    a `"split"`."""
    parts = _parts(files, "file of JSON lines")
    path = parts[0][1]
    keys, rows = _usual_names(path, _text_keys, source, target), _some(json_lines(path))
    languages, notes = choose_columns(path, keys, rows, source, target, "keys")
    return _reading(parts, languages, json_lines, notes)


# ---- json: one list with a record for each pair


def _find_json(files: Sequence[Path]) -> list[Path]:
    return [file for file in with_suffix(files, ".json") if len(_list_keys(file)) > 1]


def _list_keys(path: Path, *named: str | None) -> list[str]:
    """What the texts are called in most of the first records; none if there are no records."""
    with suppress(UserError):
        keys = [tuple(_texts_of(record)) for record in _some(json_list(path))]
        usable = [each for each in keys if len(each) > 1 and set(named) - {None} <= set(each)]
        return [*max(usable, key=usable.count, default=())]
    return []


def read_json(files: list[Path], source: str | None, target: str | None) -> Reading:
    """`[{"en": ..., "de": ...}, ...]`, also within a `"translation"`, or `[["...", "..."], ...]`, alone
    or under a key, as `"data"` or the name of a split."""
    parts = _parts(files, "JSON file of pairs")
    path = parts[0][1]
    keys, rows = _list_keys(path, source, target), _some(json_list(path))
    languages, notes = choose_columns(path, keys, rows, source, target, "keys")
    return _reading(parts, languages, json_list, notes, ", item ")


# ---- csv: a table with named columns


def _find_csv(files: Sequence[Path]) -> list[Path]:
    tables = with_blind({file: _columns(file) for file in with_suffix(files, ".csv")})
    return tables or [
        file
        for file in with_suffix(files, ".tsv", ".tab", ".txt")
        if (file not in with_suffix([file], ".txt") or _is_table(file))
        and names_columns(_rows(file))
    ]


def _is_table(path: Path) -> bool:
    """Whether most of the first lines have as many cells as the header: other texts have commas too."""
    rows = _rows(path)
    return 2 * sum(1 < len(row) == len(rows[0]) for row in rows) > len(rows)


def _nameless(path: Path) -> str | None:
    """What is wrong with a table whose first line names no columns, as a pair of sentences does not."""
    line = next(iter(first_lines(path)), "")
    if not any(sign in line for sign in ",;|\t"):
        return None
    return (
        f"{path.name}: its first line must name the columns of a table, as source,target or de;en, and "
        f'is "{line[:60]}"'
    )


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
    if not {source, target} & {*first.columns} and any(map(_is_sentence, first.columns)):
        raise UserError(f"{first.path.parent}: {_nameless(first.path)}. Add such a line.")
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


def _is_sentence(cell: str) -> bool:
    return len(cell.split()) > 4 or cell.endswith((".", "!", "?", "。", "？", "！"))


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
    Format(
        "lines", "train.de and train.en, or src-train.txt and tgt-train.txt, plain or .gz", find_lines,
        read_lines,
    ),
    Format("jsonl", 'a .jsonl file: {"en": ..., "de": ...}', _find_jsonl, read_jsonl, (".jsonl",)),
    Format(
        "json", 'a .json file: [{"en": ..., "de": ...}, ...] or [["...", "..."], ...]', _find_json,
        read_json, (".json",),
    ),
    Format(
        "csv", 'a .csv file, first line "en,de"', _find_csv, read_csv, (".csv", ".tsv", ".txt"),
        _nameless,
    ),
    Format(
        "tabs", "a .txt or .tsv file: Hello.<TAB>Hallo.", _find_tabs, read_tabs,
        (".txt", ".tsv", ".tab"),
    ),
)  # fmt: skip
