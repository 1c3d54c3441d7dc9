"""The formats of data sets of images with captions: how each is recognised, and read.

A new format is one file, and needs no change here: `captioning.data.load(folder, format=...)` takes
any `common.data.formats.Format` whose reader gives a `Reading` of the files that it found:

    def read(files: list[Path]) -> Reading:
        reading = Reading()
        for number, line in numbered_lines(files[0]):
            image, caption = line.split(" ", 1)
            reading.entries.append(Entry(image, [caption], None, f"{files[0].name}:{number}"))
        return reading

    data = load(folder, format=Format("mine", "captions.mine", lambda files: files, read))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning.entries import Entry, Read, Reading, caption_text
from common.data.damage import Damage
from common.data.formats import (
    Format,
    by_split,
    named,
    only,
    plain_stem,
    visible_files,
    with_suffix,
)
from common.data.reading import first_lines, numbered_lines
from common.data.records import Fields, Table, json_lines
from common.data.splits import USUAL, split_name
from common.errors import UserError
from common.files import read_json

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
        reading.entries = [Entry(n, texts, None, where) for n, (where, texts) in captions.items()]
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
    for file in visible_files(folder):
        if match := _SPLIT_LIST.fullmatch(file.name):
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


# ---- csv: a table with a row per caption, as Kaggle has Flickr8k and Flickr30k

_IMAGE_COLUMNS = ("image", "image_name", "filename", "file_name")
_CAPTION_COLUMNS = ("caption", "comment", "text")


def find_csv(files: Sequence[Path]) -> list[Path]:
    texts = with_suffix(files, ".txt", ".csv", ".tsv")
    usual = [file for file in texts if plain_stem(file).lower() == "captions"]
    tables = (file for file in with_suffix(files, ".csv", ".tsv") if first_lines(file))
    return [file for file in usual if not is_token_file(file)] or [
        file for file in tables if _columns(Table(file, errors="replace")) is not None
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
        image = row[image_column].strip()
        split = None if split_column is None else split_name(row[split_column])
        entry = entries.setdefault((image, split), Entry(image, [], split, where))
        entry.captions += reading.usable([row[caption_column]], image, where)
    reading.entries = list(entries.values())
    return reading


# ---- karpathy: the splits that papers report on, for Flickr8k, Flickr30k and COCO


def read_karpathy(files: list[Path]) -> Reading:
    """`images[]` with `split`, `filename`, perhaps `filepath`, and `sentences[].raw`."""
    path = only(files, "file of Karpathy's splits")
    reading = Reading()
    for number, image in enumerate(_list_in(path, read_json(path), "images")):
        where = f"{path.name}: images[{number}]"
        with reading.reporting(where):
            reading.entries.append(_karpathy_entry(image, where, reading))
    return reading


def _karpathy_entry(image: Any, where: str, reading: Reading) -> Entry:
    if not isinstance(image, dict):
        raise Damage("not an object")
    for key, kind in (("filename", str), ("split", str), ("sentences", list)):
        if not isinstance(image.get(key), kind):
            raise Damage(f'no "{key}"')
    raw = [each.get("raw") if isinstance(each, dict) else None for each in image["sentences"]]
    captions = reading.usable(raw, image["filename"], where)
    folder = image.get("filepath")
    folder = folder if isinstance(folder, str) and folder else None
    facts = {"image_id": image["cocoid"]} if "cocoid" in image else None
    return Entry(image["filename"], captions, split_name(image["split"]), where, folder, facts)


# ---- coco: the annotations as COCO publishes them

_COCO_FILE = re.compile(r"captions_(train|val|test)(\d{4})\.json")


def read_coco(files: list[Path]) -> Reading:
    """`captions_train2017.json` and its like: `images` and `annotations`, joined by image id."""
    reading = Reading()
    years = sorted({match[2] for file in files if (match := _COCO_FILE.fullmatch(file.name))})
    if len(years) > 1:
        # The years have the same photographs under different names: together they would leak.
        reading.notes.append(f"annotations of {', '.join(years)}: only {years[-1]} is read")
    for path in files:
        match = _COCO_FILE.fullmatch(path.name)
        if match is None:
            _read_coco_file(path, None, None, reading)  # a file of another name, which was named
        elif match[2] == years[-1]:
            _read_coco_file(path, match[1], f"{match[1]}{match[2]}", reading)
    return reading


def _read_coco_file(path: Path, split: str | None, folder: str | None, reading: Reading) -> None:
    content, source = read_json(path), path.name
    entries: dict[Any, Entry] = {}
    for number, image in enumerate(_list_in(path, content, "images")):
        where = f"{source}: images[{number}]"
        key, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (0, 0)
        if not isinstance(key, (int, str)) or not isinstance(name, str):
            reading.report(where, 'no "id" and "file_name"')
        elif key in entries:
            reading.report(where, f"the image id {key} is there twice")
        else:
            entries[key] = Entry(name, [], split, where, folder, {"image_id": key})
    seen: set[Any] = set()
    for number, annotation in enumerate(_list_in(path, content, "annotations")):
        with reading.reporting(f"{source}: annotations[{number}]"):
            _add_coco_caption(annotation, entries, seen)
    reading.entries += entries.values()


def _add_coco_caption(annotation: Any, entries: dict[Any, Entry], seen: set[Any]) -> None:
    if not isinstance(annotation, dict):
        raise Damage("not an object")
    key, number = annotation.get("image_id"), annotation.get("id")
    entry = entries.get(key) if isinstance(key, (int, str)) else None
    if entry is None:
        raise Damage(f"of an image ({key!r}) that the file does not list")
    if isinstance(number, (int, str)):
        if number in seen:
            raise Damage(f"the caption id {number} is there twice")
        seen.add(number)
    text = caption_text(annotation.get("caption"), f"the caption of {entry.image}")
    entry.captions.append(text)


# ---- jsonl and scenes: a line of JSON per image


def find_jsonl(files: Sequence[Path]) -> list[Path]:
    lines = [file for file in with_suffix(files, ".jsonl") if file.name != "scenes.jsonl"]
    named = [file for file in lines if split_name(plain_stem(file)) in USUAL]
    return named or [file for file in lines if plain_stem(file).lower() == "captions"] or lines


def read_jsonl(files: list[Path]) -> Reading:
    """Lines `{"image": ..., "captions": [...]}`, with a `"split"`, or in a file per split."""
    reading = Reading()
    for split, path in by_split(files, "file of JSON lines"):
        for where, fields in reading.undamaged(path, json_lines(path)):
            with reading.reporting(where):
                reading.entries.append(_jsonl_entry(fields, where, split, reading))
    without = [entry for entry in reading.entries if entry.split is None]
    if len(without) < len(reading.entries):
        for entry in without:
            reading.report(entry.where, 'no "split", which other lines have')
        reading.entries = [entry for entry in reading.entries if entry.split is not None]
    return reading


def _jsonl_entry(fields: Fields, where: str, file_split: str | None, reading: Reading) -> Entry:
    for key, kind in (("image", str), ("captions", list)):
        if not isinstance(fields.get(key), kind):
            raise Damage(f'no {"list " if kind is list else ""}"{key}"')
    split = fields.get("split", file_split)
    if split is not None and not isinstance(split, str):
        raise Damage('the "split" is not text')
    captions = reading.usable(fields["captions"], fields["image"], where)
    facts = fields["scene"] if isinstance(fields.get("scene"), dict) else None
    split = None if split is None else split_name(split)
    return Entry(fields["image"], captions, split, where, facts=facts)


def _list_in(path: Path, content: Any, key: str) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise UserError(f'{path}: no list "{key}" in it: another format, or a damaged file.')
    return value


# Folders of a data set that may hold the captions; the images are beside them.
TEXT_FOLDERS = ("annotations", "flickr8k_text")

# In the order in which they are tried: where a folder fits several, the surest sign wins.
FORMATS: tuple[Format[Read], ...] = (
    Format("scenes", "scenes.jsonl", named(r"scenes\.jsonl"), read_jsonl, (".jsonl",)),
    Format(
        "karpathy", "dataset_flickr8k.json", named(r"dataset(_\w+)?\.json"), read_karpathy,
        (".json",),
    ),
    Format(
        "flickr", "Flickr8k.token.txt or results_20130124.token, and Flickr_8k.trainImages.txt",
        find_flickr, read_flickr, (".txt", ".token"),
    ),
    Format("coco", "annotations/captions_train2017.json", named(_COCO_FILE), read_coco, (".json",)),
    Format(
        "csv", 'captions.txt or a .csv file, first line "image,caption"', find_csv, read_csv,
        (".csv", ".tsv", ".txt"),
    ),
    Format(
        "jsonl", 'captions.jsonl, or train.jsonl and others: {"image": ..., "captions": [...]}',
        find_jsonl, read_jsonl, (".jsonl",),
    ),
)  # fmt: skip


def text_files(folder: Path) -> list[Path]:
    """The files that may hold captions: of the folder, and of its folders of annotations."""
    files = visible_files(folder)
    for entry in sorted(folder.iterdir()):
        if entry.name.lower() in TEXT_FOLDERS and entry.is_dir():
            files += visible_files(entry)
    return files
