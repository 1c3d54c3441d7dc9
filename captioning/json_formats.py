"""Captions in JSON: Karpathy's splits, the annotations of COCO, and a line of JSON per image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning.entries import Entry, Read, Reading, caption_text
from common.data.damage import Damage
from common.data.formats import Format, by_split, only, plain_stem, with_suffix
from common.data.records import Fields, json_lines
from common.data.splits import USUAL, split_name
from common.errors import UserError
from common.files import read_json

# ---- karpathy: the splits that papers report on, for Flickr8k, Flickr30k and COCO


def find_karpathy(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if re.fullmatch(r"dataset(_\w+)?\.json", file.name)]


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


KARPATHY: Format[Read] = Format(
    "karpathy", "dataset_flickr8k.json", find_karpathy, read_karpathy, (".json",)
)

# ---- coco: the annotations as COCO publishes them

_COCO_FILE = re.compile(r"captions_(train|val|test)(\d{4})\.json")


def find_coco(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if _COCO_FILE.fullmatch(file.name)]


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


COCO: Format[Read] = Format(
    "coco", "annotations/captions_train2017.json", find_coco, read_coco, (".json",)
)

# ---- jsonl and scenes: a line of JSON per image


def find_scenes(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.name == "scenes.jsonl"]


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


SCENES: Format[Read] = Format("scenes", "scenes.jsonl", find_scenes, read_jsonl, (".jsonl",))
JSONL: Format[Read] = Format(
    name="jsonl",
    looks_like='captions.jsonl, or train.jsonl and others: {"image": ..., "captions": [...]}',
    find=find_jsonl,
    read=read_jsonl,
    suffixes=(".jsonl",),
)


def _list_in(path: Path, content: Any, key: str) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise UserError(f'{path}: no list "{key}" in it: another format, or a damaged file.')
    return value
