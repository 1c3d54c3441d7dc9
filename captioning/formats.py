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
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from captioning.annotations import COCO_FILE, read_coco, read_karpathy
from captioning.entries import Entry, Read, Reading, caption_text, captions_in
from common.data.damage import Damage
from common.data.formats import (
    Format,
    Parts,
    by_split,
    named,
    only,
    plain_stem,
    visible_files,
    with_suffix,
)
from common.data.reading import first_lines, numbered_lines
from common.data.records import Fields, Records, Table, json_lines
from common.data.splits import USUAL, split_name
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
        reading.entries = [Entry(n, texts, None, where) for n, (where, texts) in captions.items()]
        return reading
    for split, file in lists.items():
        listed: dict[str, str] = {}
        for number, line in numbered_lines(file):
            name, where = line.strip(), f"{file.name}:{number}"
            # Flickr30k's lists leave the extension out.
            name = name if name in captions or f"{name}.jpg" not in captions else f"{name}.jpg"
            with reading.reporting(where):
                if name in listed:
                    raise Damage(f"{name} is there twice (first at {listed[name]})")
                listed[name] = where
                texts = captions[name][1] if name in captions else []
                reading.entries.append(Entry(name, texts, split, where))
    mentioned = {entry.image for entry in reading.entries}
    reading.left_out = [name for name in captions if name not in mentioned]
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
        with reading.captions.reporting(where):
            match = _TOKEN_LINE.fullmatch(line)
            if match is None:
                raise Damage(f'not "name.jpg#0<TAB>caption": {line[:60]}')
            name, index = match[1].strip(), match[2]
            texts = captions.setdefault(name, (where, []))[1]
            if (name, index) in seen:
                raise Damage(f"caption {index} of {name} is there twice")
            seen.add((name, index))
            texts.append(caption_text(match[3], f"caption {index} of {name}"))
    return captions


# ---- csv, jsonl and scenes: records with an image and its captions

_IMAGE_FIELDS = ("image", "image_name", "filename", "file_name")
_CAPTION_FIELDS = ("caption", "comment", "text")


class _Fields(NamedTuple):
    """The fields of a record that are read; None for those that it has not."""

    image: str | None
    captions: list[str]
    split: str | None


@lru_cache
def _fields(names: tuple[str, ...]) -> _Fields:
    """The fields that are read: of captions all those of one name, `caption`, `caption_2`, ..."""
    known = {name.lower(): name for name in names}
    image = next((known[name] for name in _IMAGE_FIELDS if name in known), None)
    captions: list[str] = []
    for usual in _CAPTION_FIELDS:
        pattern = re.compile(rf"{usual}s?[ _-]?\d*", re.IGNORECASE)
        captions = captions or [name for name in names if pattern.fullmatch(name)]
    return _Fields(image, captions, known.get("split"))


def _read_records(parts: Parts, read: Callable[[Path], Records]) -> Reading:
    """Records that may name an image several times; all of them name its split, or none."""
    reading = Reading()
    entries: list[Entry] = []
    blank: dict[int, list[Any]] = {}  # what stands for the captions of those that have none
    unread = Counter[str]()
    for file_split, path in parts:
        for number, record in read(path):
            where = f"{path.name}:{number}"
            with reading.reporting(where):
                if isinstance(record, Damage):
                    raise record
                entry, values = _entry(record, where, file_split, reading)
                if all(map(_is_blank, values)):
                    blank[len(entries)] = values
                entries.append(entry)
                if "scene" not in record:  # which has what else there is
                    image, captions, split = _fields(tuple(record))
                    unread.update(
                        each for each in record if each not in (image, *captions, split, "")
                    )
    _check_blank(entries, blank, reading)
    splits = any(entry.split is not None for entry in entries)
    for entry in entries:
        if splits and entry.split is None:
            reading.records.report(entry.where, 'no "split", which others have')
        else:
            reading.mention(entry)
    if unread:
        names = ", ".join(f"{name} ({count:,})" for name, count in unread.most_common(8))
        names += ", ..." if len(unread) > 8 else ""
        reading.notes.append(f"fields that are not read, and in how many records: {names}")
    return reading


def _check_blank(entries: list[Entry], blank: dict[int, list[Any]], reading: Reading) -> None:
    """Report what has no caption, but in a blind test: where nothing of its split has one.

    Args:
        entries: those without any field of captions are taken out.
        blank: what stands for the captions of those that have none, by their places.
    """
    captioned = {entry.split for entry in entries if entry.captions}
    nameless = set()
    for place, values in blank.items():
        entry = entries[place]
        # A field without captions is left blank; one that is not there may have another name.
        if entry.split in captioned or (entry.split in (None, "train") and not values):
            entry.captions = reading.usable(values, entry.image, entry.where)
            if not values:
                reading.records.report(entry.where, 'no "captions"')
                nameless.add(place)
    entries[:] = [entry for place, entry in enumerate(entries) if place not in nameless]


def _entry(
    record: Fields, where: str, file_split: str | None, reading: Reading
) -> tuple[Entry, list[Any]]:
    """The image of a record with its captions, and the values of its caption fields."""
    fields = _fields(tuple(record))
    image = None if fields.image is None else record[fields.image]
    if not isinstance(image, str):
        raise Damage('no "image"')
    split = file_split if fields.split is None else record[fields.split]
    if split is not None and not isinstance(split, str):
        raise Damage('the "split" is not text')
    values = [record[name] for name in fields.captions]
    # Where there are several fields, an image may have fewer captions.
    written = [value for value in values if not _is_blank(value)]
    captions = reading.usable(chain.from_iterable(map(captions_in, written)), image, where)
    facts = record["scene"] if isinstance(record.get("scene"), dict) else None
    split = split_name(split) if split else None
    return Entry(image.strip(), captions, split, where, facts=facts), written or values[:1]


def _is_blank(value: Any) -> bool:
    return value is None or isinstance(value, str) and not value.strip()


def find_csv(files: Sequence[Path]) -> list[Path]:
    texts = with_suffix(files, ".txt", ".csv", ".tsv")
    usual = [file for file in texts if plain_stem(file).lower() == "captions"]
    tables = (file for file in with_suffix(files, ".csv", ".tsv") if first_lines(file))
    return [file for file in usual if not is_token_file(file)] or [
        file for file in tables if _has_captions(Table(file, errors="replace"))
    ]


def _has_captions(table: Table) -> bool:
    fields = _fields(table.columns)
    return fields.image is not None and bool(fields.captions)


def read_csv(files: list[Path]) -> Reading:
    """A header with `image` and `caption` (and perhaps `split`), and a row per image or caption."""
    path = only(files, "table of captions")
    table = Table(path)
    if not _has_captions(table):
        raise UserError(
            f"{path}:{table.header}: the first line must name the columns: image,caption. "
            "Add that line, or name the format that the file has."
        )
    return _read_records([(None, path)], Table)


def find_jsonl(files: Sequence[Path]) -> list[Path]:
    lines = [file for file in with_suffix(files, ".jsonl") if file.name != "scenes.jsonl"]
    named = [file for file in lines if split_name(plain_stem(file)) in USUAL]
    return named or [file for file in lines if plain_stem(file).lower() == "captions"] or lines


def read_jsonl(files: list[Path]) -> Reading:
    """Lines `{"image": ..., "captions": [...]}`, with a `"split"`, or in a file per split."""
    return _read_records(by_split(files, "file of JSON lines"), json_lines)


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
    Format("coco", "annotations/captions_train2017.json", named(COCO_FILE), read_coco, (".json",)),
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
