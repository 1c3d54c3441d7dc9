"""Captions in lines and tables: the files of Flickr8k's authors, and tables as Kaggle has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from captioning.entries import Entry, Read, Reading, caption_text
from common.data.damage import Damage
from common.data.formats import Format, only, plain_stem, with_suffix
from common.data.reading import first_lines, numbered_lines
from common.data.records import Table
from common.data.splits import split_name
from common.errors import UserError

# ---- flickr: Flickr8k and Flickr30k as their authors publish them

# No tab in the name: Flickr8k's files of human judgements have lines that end like these.
_TOKEN_LINE = re.compile(r"([^\t]+)#(\d+)\t(.*)")
_SPLIT_LIST = re.compile(
    r"(?:.*[._-])?(train|dev|val|valid|validation|test)[._-]?(?:images|imgs)?\.txt", re.IGNORECASE
)


def find_flickr(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if is_token_file(file)]


def is_token_file(file: Path) -> bool:
    name = file.name.lower()
    if "lemma" in name:  # Flickr8k's archive also has its captions reduced to base forms
        return False
    if name.endswith((".token", ".token.txt")):
        return True
    first = next(iter(first_lines(file)), "") if name.endswith(".txt") else ""
    return _TOKEN_LINE.fullmatch(first) is not None


def read_flickr(files: list[Path]) -> Reading:
    """Lines `name.jpg#0<TAB>caption`, and lists beside them that name the images of each split."""
    path = only(files, "token file")
    reading = Reading()
    captions = _read_tokens(path, reading)
    lists = _split_lists(path.parent)
    if not lists:
        for name, (where, texts) in captions.items():
            reading.entries.append(Entry(name, texts, None, where))
        return reading
    listed = set()
    for split, file in lists.items():
        for number, line in numbered_lines(file):
            name = line.strip()
            # Flickr30k's lists leave the extension out.
            name = name if name in captions or f"{name}.jpg" not in captions else f"{name}.jpg"
            listed.add(name)
            texts = captions[name][1] if name in captions else []
            reading.entries.append(Entry(name, texts, split, f"{file.name}:{number}"))
    reading.left_out = [name for name in captions if name not in listed]
    return reading


def _split_lists(folder: Path) -> dict[str, Path]:
    lists: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        match = None if file.name.startswith(".") else _SPLIT_LIST.fullmatch(file.name)
        if match is None:
            continue
        split = split_name(match[1])
        if split in lists:
            only([lists[split], file], f"list of the {split} images")
        lists[split] = file
    return lists


def _read_tokens(path: Path, reading: Reading) -> dict[str, tuple[str, list[str]]]:
    """For each image where it is named first, and its captions."""
    captions: dict[str, tuple[str, list[str]]] = {}
    seen = set()
    source = path.name
    for number, line in numbered_lines(path):
        where = f"{source}:{number}"
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            reading.report(where, f'not "name.jpg#0<TAB>caption": {line[:60]}')
            continue
        name, index = match[1].strip(), match[2]
        texts = captions.setdefault(name, (where, []))[1]
        with reading.reporting(where):
            if (name, index) in seen:
                raise Damage(f"caption {index} of {name} is there twice")
            seen.add((name, index))
            texts.append(caption_text(match[3], f"caption {index} of {name}"))
    return captions


FLICKR: Format[Read] = Format(
    name="flickr",
    looks_like="Flickr8k.token.txt or results_20130124.token, and Flickr_8k.trainImages.txt",
    find=find_flickr,
    read=read_flickr,
    suffixes=(".txt", ".token"),
)

# ---- csv: a table with a row per caption, as Kaggle has Flickr8k and Flickr30k

_IMAGE_COLUMNS = ("image", "image_name", "filename", "file_name")
_CAPTION_COLUMNS = ("caption", "comment", "text")


def find_csv(files: Sequence[Path]) -> list[Path]:
    usual = [
        file
        for file in with_suffix(files, ".txt", ".csv", ".tsv")
        if plain_stem(file).lower() == "captions" and not is_token_file(file)
    ]
    tables = with_suffix(files, ".csv", ".tsv")
    return usual or [
        file
        for file in tables
        if first_lines(file) and _columns(Table(file, errors="replace")) is not None
    ]


def _columns(table: Table) -> tuple[str, str, str | None] | None:
    """The columns of image, caption and split; None for the split if there is none."""
    names = {name.lower(): name for name in table.columns}
    image = next((names[name] for name in _IMAGE_COLUMNS if name in names), None)
    caption = next((names[name] for name in _CAPTION_COLUMNS if name in names), None)
    return None if image is None or caption is None else (image, caption, names.get("split"))


def read_csv(files: list[Path]) -> Reading:
    """A header with `image` and `caption` (and perhaps `split`), and a row per caption."""
    path = only(files, "table of captions")
    table = Table(path)
    columns = _columns(table)
    if columns is None:
        raise UserError(
            f"{path}:{table.header}: the first line must name the columns: image,caption. "
            "Add that line, or name the format that the file has."
        )
    image_column, caption_column, split_column = columns
    reading, entries = Reading(), dict[tuple[str, str | None], Entry]()
    for where, row in reading.undamaged(path, table):
        image, split = row[image_column].strip(), None
        if split_column is not None:
            split = split_name(row[split_column])
        entry = entries.setdefault((image, split), Entry(image, [], split, where))
        entry.captions += reading.usable([row[caption_column]], image, where)
    reading.entries = list(entries.values())
    return reading


CSV: Format[Read] = Format(
    name="csv",
    looks_like='captions.txt or a .csv file, first line "image,caption"',
    find=find_csv,
    read=read_csv,
    suffixes=(".csv", ".tsv", ".txt"),
)
