"""Captions in lines and tables: the files of Flickr8k's authors, and tables as Kaggle has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from captioning.entries import Entry, Reading, caption_text
from common.data.damage import Damage
from common.data.formats import only
from common.data.reading import first_line, header_line, numbered_lines, table_rows
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
    return name.endswith(".txt") and _TOKEN_LINE.fullmatch(first_line(file)) is not None


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
        try:
            if (name, index) in seen:
                raise Damage("is there twice")
            texts.append(caption_text(match[3]))
        except Damage as damage:
            reading.report(where, f"caption {index} of {name} {damage}")
        seen.add((name, index))
    return captions


# ---- csv: a table with a row per caption, as Kaggle has Flickr8k and Flickr30k

_IMAGE_COLUMNS = ("image", "image_name", "filename", "file_name")
_CAPTION_COLUMNS = ("caption", "comment", "text")


def find_csv(files: Sequence[Path]) -> list[Path]:
    usual = [file for file in files if file.stem.lower() == "captions"]
    usual = [file for file in usual if file.suffix.lower() in (".txt", ".csv", ".tsv")]
    usual = [file for file in usual if not is_token_file(file)]
    tables = (file for file in files if file.suffix.lower() in (".csv", ".tsv"))
    return usual or [file for file in tables if _csv_columns(first_line(file)) is not None]


def _csv_columns(header: str) -> tuple[str, dict[str, int], int] | None:
    """The delimiter, the position of image, caption and split, and the number of columns."""
    for delimiter in ("|", "\t", ","):
        names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
        image = next((names.index(name) for name in _IMAGE_COLUMNS if name in names), None)
        caption = next((names.index(name) for name in _CAPTION_COLUMNS if name in names), None)
        if image is not None and caption is not None:
            columns = {"image": image, "caption": caption}
            if "split" in names:
                columns["split"] = names.index("split")
            return delimiter, columns, len(names)
    return None


def read_csv(files: list[Path]) -> Reading:
    """A header with `image` and `caption` (and perhaps `split`), and a row per caption."""
    path = only(files, "table of captions")
    reading = Reading()
    first, header = header_line(path)
    shape = _csv_columns(header)
    if shape is None:
        raise UserError(
            f"{path}:{first}: the first line must name the columns: image,caption. "
            "Add that line, or name the format that the file has."
        )
    delimiter, columns, width = shape
    entries: dict[tuple[str, str | None], Entry] = {}
    source = path.name
    for number, row in table_rows(path, delimiter, width):
        where = f"{source}:{number}"
        if isinstance(row, Damage):
            reading.report(where, row)
            continue
        image = row[columns["image"]].strip()
        split = split_name(row[columns["split"]]) if "split" in columns else None
        entry = entries.setdefault((image, split), Entry(image, [], split, where))
        entry.captions += reading.usable([row[columns["caption"]]], image, where)
    reading.entries = list(entries.values())
    return reading
